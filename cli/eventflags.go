package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/match"
	"github.com/postrider/postrider/dispatcher/event"
)

// eventFlags are what makes an event, or names the file that holds it.
type eventFlags struct{ eventType, data, id, source, subject, file string }

func (f *eventFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.eventType, "type", "", "Type of the event, such as item:added.")
	flags.StringVar(&f.data, "data", "", "Data of the event: JSON, @FILE, or - for standard input.")
	flags.StringVar(&f.id, "id", "", "Id of the event; default: a new one.")
	flags.StringVar(&f.source, "source", "", "Source of the event; default: the namespace.")
	flags.StringVar(&f.subject, "subject", "", "Subject of the event.")
	flags.StringVarP(&f.file, "filename", "f", "", "File with a CloudEvent in JSON, a batch of them, or {\"type\", \"data\"}; - for standard input.")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.NoFileCompletions) // the flag is there
}

func (f *eventFlags) given() bool { return *f != eventFlags{} }

// read returns the event as it is to be posted, in JSON, and its media type.
func (f *eventFlags) read(ctx context.Context, in io.Reader) (mediaType string, body []byte, err error) {
	switch {
	case f.file != "" && *f != (eventFlags{file: f.file}):
		return "", nil, usagef("--filename is a whole event: leave out --type, --data, --id, --source and --subject")
	case f.file != "":
		body, err = readInput(ctx, "--filename", f.file, in)
		return match.MediaType(body), body, err
	case f.eventType == "":
		return "", nil, usagef("there is no event: give --type, and --data if it has any, or a file with -f")
	}
	data, err := f.readData(ctx, in)
	if err != nil {
		return "", nil, err
	}
	body, err = json.Marshal(struct {
		Type    string          `json:"type"`
		ID      string          `json:"id,omitempty"`
		Source  string          `json:"source,omitempty"`
		Subject string          `json:"subject,omitempty"`
		Data    json.RawMessage `json:"data,omitempty"`
	}{f.eventType, f.id, f.source, f.subject, data})
	return match.MediaType(body), body, err
}

func (f *eventFlags) readData(ctx context.Context, in io.Reader) (json.RawMessage, error) {
	var data []byte
	var err error
	switch path, isFile := strings.CutPrefix(f.data, "@"); {
	case f.data == "":
		return nil, nil
	case isFile:
		data, err = readInput(ctx, "--data", path, in)
	case f.data == "-":
		data, err = readInput(ctx, "--data", "-", in)
	default:
		data = []byte(f.data)
	}
	if err != nil {
		return nil, err
	}
	if data = bytes.TrimSpace(data); !json.Valid(data) {
		return nil, usagef("--data is not JSON; write it like '{\"text\": \"hello\"}', or name a file like @data.json")
	}
	return data, nil
}

// readInput reads a file, or in when it is named "-". What is larger than a
// dispatcher takes is refused here.
func readInput(ctx context.Context, flag, path string, in io.Reader) ([]byte, error) {
	name := path
	if path == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in = f
	}
	body, err := readAll(ctx, io.LimitReader(in, event.MaxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	case len(body) > event.MaxBody:
		return nil, fmt.Errorf("%s: it has more than %d bytes, which a dispatcher does not take: send less data, or a smaller batch", flag, event.MaxBody)
	case len(bytes.TrimSpace(body)) == 0:
		return nil, fmt.Errorf("%s: %s is empty", flag, name)
	}
	return body, nil
}

// readAll reads until the end, or until ctx is done: a terminal or a pipe may give
// nothing for ever, and what waits for it then is left behind.
func readAll(ctx context.Context, in io.Reader) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		body, err := io.ReadAll(in)
		read <- result{body, err}
	}()
	select {
	case r := <-read:
		return r.body, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
