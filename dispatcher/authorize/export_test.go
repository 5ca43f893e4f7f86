package authorize

// IsBelowAny is exported for its test.
var IsBelowAny = isBelowAny
