package event

import (
	"mime"
	"strings"
)

func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true // the common spellings, without parsing
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}
