package doctor

import (
	"errors"
	"fmt"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/words"
)

// remedies are the commands that an error shows.
func remedies(err error) []string {
	lack, ok := errors.AsType[*cluster.Lack](err)
	if !ok {
		return nil
	}
	do := append([]string(nil), lack.Commands...)
	if lack.Or != "" {
		do = append(do, lack.Or)
	}
	return do
}

// whatIsWrong says in a few words what is wrong with w.
func whatIsWrong(w *v1alpha1.Webhook) string {
	s := string(words.StateOf(w))
	if why := words.Reason(w); why != "" {
		s += " (" + why + ")"
	}
	if n := w.Status.DeadLetters; n > 0 {
		s += fmt.Sprintf(", dead letters: %d", n)
	}
	return s
}
