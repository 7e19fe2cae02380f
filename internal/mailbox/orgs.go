package mailbox

import "sync"

// orgCache remembers the organisation of mailboxes, which never changes.
type orgCache struct {
	mu sync.Mutex
	m  map[ID]OrgKey
}

// maxOrgs bounds the cache; when it is full it starts anew.
const maxOrgs = 1 << 16

func (c *orgCache) get(id ID) (OrgKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	org, ok := c.m[id]
	return org, ok
}

func (c *orgCache) put(id ID, org OrgKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxOrgs {
		c.m = map[ID]OrgKey{}
	}
	c.m[id] = org
}
