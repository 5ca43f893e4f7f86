package dispatcher

var KeepCounting = keepCounting
