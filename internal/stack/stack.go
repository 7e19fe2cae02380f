// Package stack makes a goroutine's stack large before it is deep.
//
// A stack begins with 2 KiB and doubles whenever it is full. Each time the runtime walks all of its frames, and reads for each
// function tables that lie all over the program. A goroutine that asks SQLite something comes to 16 KiB in three such walks; from where
// it begins it is one, of a frame or two: 3 MB less of the program's file are in an idle server's memory.
package stack

// The frames that are made room for: what SQLite needs for a statement, and what the deepest initialisation of a package does (the
// S3 client's, which compiles nested regular expressions).
const (
	deep    = 8 << 10
	deepest = 100 << 10
)

// never is false, which the compiler does not know: it keeps the frames, and what would fill them is not run.
var never bool

// As this package imports nothing it is initialised before all that do more.
func init() {
	if never {
		var room [deepest]byte
		use(room[:])
	}
}

// Deepen makes room for a call into SQLite. It is for the first line of a goroutine that will make one, and costs a comparison when there is
// room already.
//
//go:noinline
func Deepen() {
	if never {
		var room [deep]byte
		use(room[:])
	}
}

//go:noinline
func use(room []byte) {
	for i := range room {
		room[i]++
	}
}
