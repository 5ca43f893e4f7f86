package docs

// Compare is for tests.
var Compare = compare
