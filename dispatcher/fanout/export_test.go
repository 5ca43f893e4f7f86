package fanout

// MaxRemainderBytes is exported for the tests.
const MaxRemainderBytes = maxRemainderBytes
