package operate

import (
	"fmt"
	"net/http"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/problem"
)

// maxSought bounds the records that one call looks through for those that a
// filter lets pass.
const maxSought = 2000

// filters are what "outcome" may ask for.
var filters = map[string]func(*deliver.Record) bool{
	"":          func(*deliver.Record) bool { return true },
	"delivered": passed,
	"failed":    func(r *deliver.Record) bool { return !passed(r) },
}

// attempts lists the attempt log of a webhook, newest first.
func (o *Operator) attempts(_ http.ResponseWriter, r *http.Request) (answer, error) {
	query := r.URL.Query()
	page, err := readPage(query, "outcome")
	if err != nil {
		return answer{}, err
	}
	passes, ok := filters[query.Get("outcome")]
	if !ok {
		return answer{}, refuse(problem.InvalidQuery, `"outcome" is "failed" or "delivered".`)
	}

	id := webhook(r)
	var found []deliver.Record
	next := page.before
	for sought := 0; ; {
		var records []deliver.Record
		if records, next, err = o.Store.Attempts(r.Context(), id, next, page.limit); err != nil {
			return answer{}, fmt.Errorf("reading the attempts of %s: %w", id, err)
		}
		sought += len(records)
		for i := range records {
			if passes(&records[i]) {
				found = append(found, records[i])
			}
		}
		// A page of the store is not cut: its cursor is good for its end only.
		if len(found) > 0 || next == 0 || sought >= maxSought {
			break
		}
	}
	if err := o.emptyOf(id, len(found), page, next); err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, newList(found, next)}, nil
}

// emptyOf fails when there is nothing at all of a webhook that nobody knows:
// rather than an empty list, whoever has misspelt it gets an error.
func (o *Operator) emptyOf(id string, found int, p page, next uint64) error {
	if found > 0 || next > 0 || p.before > 0 || o.Router.Load() == nil {
		return nil
	}
	_, err := o.known(id)
	return err
}
