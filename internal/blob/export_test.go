package blob

import "os"

// OnSync has fn called in place of each sync.
func (f *Files) OnSync(fn func(*os.File) error) { f.sync = fn }
