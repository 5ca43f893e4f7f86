package problem_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/problem"
)

func TestADocumentHasTheMembersOfRFC9457(t *testing.T) {
	tests := []struct {
		name    string
		problem problem.Problem
		want    string
	}{
		{
			"required members only",
			problem.Problem{Name: problem.StoreFull, Detail: "Try again later."},
			`{"type":"https://postrider.dev/problems/store-full","title":"The store is full","status":429,"detail":"Try again later."}`,
		},
		{
			"limit and index, which may be 0",
			problem.Problem{Name: problem.AttributeTooLong, Detail: "Shorten it.", Limit: 255, Index: new(0)},
			`{"type":"https://postrider.dev/problems/attribute-too-long","title":"An attribute is too long","status":400,"detail":"Shorten it.","limit":255,"index":0}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			problem.Write(w, tt.problem)
			if diff := cmp.Diff(tt.want, w.Body.String()); diff != "" {
				t.Error("document (-want +got):\n" + diff)
			}
			if w.Code != tt.problem.Name.Status() {
				t.Errorf("status %d, want %d", w.Code, tt.problem.Name.Status())
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

func TestEveryProblemIsAnErrorThatNamesItself(t *testing.T) {
	for _, name := range problem.Names() {
		w := httptest.NewRecorder()
		problem.Write(w, problem.Problem{Name: name, Detail: "Do this."})
		var document struct{ Type, Title string }
		if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
			t.Fatal(err)
		}
		if w.Code < 400 || w.Code > 599 || document.Type != name.URI() || document.Title == "" {
			t.Errorf("%s: status %d, %+v", name, w.Code, document)
		}
	}
}
