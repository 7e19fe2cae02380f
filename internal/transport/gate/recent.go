package gate

import "container/list"

// recent keeps the values that were used last. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	most   int
	pinned func(*V) bool // says what must stay although it was not used of late; nil for nothing
	order  *list.List    // of *kept, what was used last in front
	byKey  map[K]*list.Element
}

type kept[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int, pinned func(*V) bool) *recent[K, V] {
	return &recent[K, V]{most: most, pinned: pinned, order: list.New(), byKey: map[K]*list.Element{}}
}

// find returns the value with the key; nil where there is none.
func (r *recent[K, V]) find(key K) *V {
	at, ok := r.byKey[key]
	if !ok {
		return nil
	}
	r.order.MoveToFront(at)
	return &at.Value.(*kept[K, V]).value
}

// get is find, and makes what is not there, in the place of what was not used for longest.
func (r *recent[K, V]) get(key K) *V {
	if v := r.find(key); v != nil {
		return v
	}
	for at := r.order.Back(); at != nil && len(r.byKey) >= r.most; {
		oldest := at.Value.(*kept[K, V])
		before := at.Prev()
		if r.pinned == nil || !r.pinned(&oldest.value) {
			r.order.Remove(at)
			delete(r.byKey, oldest.key)
		}
		at = before
	}
	made := &kept[K, V]{key: key}
	r.byKey[key] = r.order.PushFront(made)
	return &made.value
}

func (r *recent[K, V]) size() int { return len(r.byKey) }
