package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A constant is one of the API, with what its comment says about it.
type constant struct {
	name  string
	value string
	text  string // the comment, without the name and "says that"
}

// readConstants reads the string constants of a Go file, in their order.
func readConstants(path string) ([]constant, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var all []constant
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec) //nolint:errcheck // what a const declaration is made of
			literal, ok := v.Values[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.Names[0].Name, err)
			}
			c := constant{name: v.Names[0].Name, value: value, text: v.Doc.Text() + v.Comment.Text()}
			if c.text = sentence(c.text, c.name); c.text == "" {
				return nil, fmt.Errorf("%s of %s has no comment, which the pages show", c.name, path)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// sentence makes a sentence for users of a Go comment: what the constant of the
// name says, without the name.
func sentence(comment, name string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text = strings.TrimPrefix(text, name+" ")
	for _, opening := range []string{"says that ", "says whether ", "is that ", "is about ", "is why ", "is there while ", "is the ", "sums up "} {
		rest, ok := strings.CutPrefix(text, opening)
		if !ok {
			continue
		}
		switch opening {
		case "says that ", "is that ", "is about ":
			text = strings.ReplaceAll(rest, ", or that ", ", or ")
		case "is the ":
			text = "the " + rest
		case "is why ":
			text = "why " + rest
		case "is there while ":
			text = "there while " + rest
		}
		break
	}
	return capital(text)
}

// capital writes the first letter large, unless it begins the name of a field.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	word, _, _ := strings.Cut(text, " ")
	if strings.Contains(word, ".") || text == "" {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
