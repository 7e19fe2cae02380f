// Package arch holds the drawing of the house true: its test reads who imports whom and compares that with the layers.
// It has no code of its own.
package arch
