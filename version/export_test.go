package version

// Stamp does what the linker does for a release, and returns what undoes it.
func Stamp(v string) (undo func()) {
	before := stamped
	stamped = v
	return func() { stamped = before }
}
