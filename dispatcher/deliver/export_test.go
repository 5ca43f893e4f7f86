package deliver

// RetryAfter is exported for its test.
var RetryAfter = retryAfter
