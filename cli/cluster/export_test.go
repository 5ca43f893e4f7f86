package cluster

// For tests of the selection of a pod.
var (
	Choose = choose
	Locate = locate
	Quote  = quote
	Label  = label
)
