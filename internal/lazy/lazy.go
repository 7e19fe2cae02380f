// Package lazy is for what a program has for good and must make: it is made when first used. A variable of a package that is made by
// a call costs each start the call, and the memory of what is made, and keeps the part of the program in memory where the call is.
package lazy

import "sync"

// Value is what Make returns, which is called once. It is safe for concurrent use. A literal of it with a function that captures nothing is
// laid out by the compiler.
type Value[T any] struct {
	Make func() T

	once  sync.Once
	value T
}

// Get returns the value.
func (v *Value[T]) Get() T {
	v.once.Do(func() { v.value = v.Make() })
	return v.value
}
