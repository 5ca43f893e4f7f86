package workflow_test

import (
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/workflow"
)

func FuzzReadACommand(f *testing.F) {
	for _, seed := range []string{good, small, `{}`, `{"id":1}`, `{"workflow":null,"command":[]}`, `{"nextState":{"DisplayName":"\u2028"}}`} {
		f.Add([]byte(seed))
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		e, refused := workflow.Read(body, "cms", now)
		if (e == nil) == (refused == nil) {
			t.Fatalf("it is %+v, %+v", e, refused)
		}
		if refused != nil {
			if refused.Name.Status() < 400 || refused.Name.Status() > 499 || refused.Detail == "" {
				t.Errorf("it is refused with %+v", refused)
			}
			return
		}
		if !event.ValidJSON(e.Data) || e.ID == "" || len(e.Data) > event.MaxBody {
			t.Errorf("the event is %+v", e)
		}
	})
}
