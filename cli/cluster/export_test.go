package cluster

// For tests of the selection of a pod.
var (
	Choose = choose
	Locate = locate
	Label  = label
)
