package doctor

// Differ is differ, for tests.
var Differ = differ
