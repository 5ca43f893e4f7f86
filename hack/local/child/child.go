// Package child runs programs that end when this one ends, however it ends.
package child

import "io"

// A Command says what to start.
type Command struct {
	Name string   // of the component, as a person calls it
	Path string   // of the program
	Args []string // without the name of the program
	Env  []string // "KEY=value", besides what this process has itself

	// Of a program that [Run] runs:
	Stdin  string    // what it reads
	Stderr io.Writer // takes what it complains about; nil = the error that Run returns
}

// A Failure is a component that ended unasked or does not do its work.
type Failure struct {
	Name string
	Log  string // file that holds what it wrote
	Err  error
}

func (f *Failure) Error() string { return f.Name + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }
