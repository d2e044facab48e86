package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var errArray = errors.New("not an array")

// arrayText writes an array as Postgres prints it: {1,NULL,"a b",{…}}, with bounds before it if they are not 1. Bounds are
// not in the JSON.
func (f *form) arrayText(w *writer, s string) error {
	if strings.HasPrefix(s, "[") {
		_, s, _ = strings.Cut(s, "=")
	}
	p := &arrayParser{rest: s, delim: f.delim}
	value, err := p.array()
	if err == nil && p.rest != "" {
		err = errArray
	}
	if err == nil {
		err = f.write(w, value)
	}
	if err != nil {
		return fmt.Errorf("%.60q: %w", s, err)
	}
	return nil
}

// write writes nested slices of *string.
func (f *form) write(w *writer, value any) error {
	switch v := value.(type) {
	case []any:
		w.array(len(v))
		for _, element := range v {
			if err := f.write(w, element); err != nil {
				return err
			}
		}
	case *string:
		if v != nil {
			return f.elem.text(w, []byte(*v))
		}
		w.null()
	}
	return nil
}

type arrayParser struct {
	rest  string
	delim byte
}

// peek returns the next byte, 0 at the end.
func (p *arrayParser) peek() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// array reads {…} into elements: a *string, nil for NULL, or a nested array.
func (p *arrayParser) array() ([]any, error) {
	if p.peek() != '{' {
		return nil, errArray
	}
	p.rest = p.rest[1:]
	elements := []any{}
	if p.peek() == '}' {
		p.rest = p.rest[1:]
		return elements, nil
	}
	for {
		element, err := p.element()
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
		end := p.peek()
		if end == 0 || end != p.delim && end != '}' {
			return nil, errArray
		}
		p.rest = p.rest[1:]
		if end == '}' {
			return elements, nil
		}
	}
}

func (p *arrayParser) element() (any, error) {
	switch p.peek() {
	case '{':
		return p.array()
	case '"':
		s, rest, err := quoted(p.rest)
		p.rest = rest
		return &s, err
	}
	end := strings.IndexAny(p.rest, string(p.delim)+"}")
	if end <= 0 {
		return nil, errArray
	}
	s := p.rest[:end]
	p.rest = p.rest[end:]
	if s == "NULL" {
		return (*string)(nil), nil
	}
	return &s, nil
}

// quoted reads "…", in which a backslash stands before a quote or a backslash.
func quoted(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", errors.New("a quote does not end")
}

// hstoreText reads "a"=>"1", "b"=>NULL. An hstore's JSON is a string with an object in it.
func hstoreText(w *writer, s string) error {
	pairs := map[string]any{}
	for rest := s; rest != ""; {
		if rest[0] != '"' {
			return fmt.Errorf("%.60q is not an hstore", s)
		}
		key, after, err := quoted(rest)
		value, isPair := strings.CutPrefix(after, "=>")
		if err != nil || !isPair {
			return fmt.Errorf("%.60q is not an hstore", s)
		}
		var isNull bool
		if rest, isNull = strings.CutPrefix(value, "NULL"); isNull {
			pairs[key] = nil
		} else if pairs[key], rest, err = quoted(value); err != nil {
			return fmt.Errorf("%.60q is not an hstore", s)
		}
		rest = strings.TrimPrefix(rest, ", ")
	}
	return writePairs(w, pairs)
}

// hstoreJSON reads the object in an hstore's string.
func hstoreJSON(w *writer, s string) error {
	var pairs map[string]any
	if err := json.Unmarshal([]byte(s), &pairs); err != nil {
		return fmt.Errorf("%.60q is not the JSON of an hstore: %w", s, err)
	}
	return writePairs(w, pairs)
}

func writePairs(w *writer, pairs map[string]any) error {
	w.object(len(pairs))
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		w.text(key)
		switch v := pairs[key].(type) {
		case nil:
			w.null()
		case string:
			w.text(v)
		default:
			return fmt.Errorf("the value of %q is neither text nor null", key)
		}
	}
	return nil
}
