package workflow

// Read is exported for its fuzz test.
var Read = read
