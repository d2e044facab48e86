package main

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

const mask = "****"

// SourceURL is a connection string that may hold passwords. However it is printed, logged or marshalled, they are masked;
// Reveal is the only way to the real one.
type SourceURL string

// Reveal gives the connection string with its passwords: for connecting, never for showing.
func (u SourceURL) Reveal() string { return string(u) }

func (u SourceURL) String() string { return maskSource(string(u)) }

// GoString masks what %#v prints.
func (u SourceURL) GoString() string { return "SourceURL(" + u.String() + ")" }

// MarshalJSON masks what JSON holds.
func (u SourceURL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// LogValue masks what slog writes.
func (u SourceURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// userinfo is what stands between :// and the last @. A password that was not escaped may hold any character, an @ too.
var userinfo = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://)([^:@/?#]*):(.*)@`)

// setting is a part of a query (password=x&) or of a keyword string (password = 'x y').
var setting = regexp.MustCompile(`([^\s?&='#]+)(\s*=\s*)('(?:[^'\\]|\\.)*'?|[^&\s]*)`)

// maskSource hides the passwords of a URL or of a keyword string such as "host=x password=y". What cannot be told from a
// password is hidden too.
func maskSource(source string) string {
	rest := source
	if at := userinfo.FindStringSubmatch(source); at != nil && !atInQuery(source) {
		rest = at[1] + at[2] + ":" + mask + "@" + source[len(at[0]):]
	} else if scheme, after, ok := strings.Cut(source, "://"); ok {
		if u, err := url.Parse(source); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				host := after[strings.Index(after, "@")+1:]
				rest = scheme + "://" + u.User.Username() + ":" + mask + "@" + host
			}
		}
	}
	return setting.ReplaceAllStringFunc(rest, maskSetting)
}

// atInQuery reports whether the URL is well formed and its last @ is not the one before the host.
func atInQuery(source string) bool {
	u, err := url.Parse(source)
	return err == nil && u.User != nil && u.Host != "" && strings.Contains(u.Path+u.RawQuery, "@")
}

func maskSetting(pair string) string {
	parts := setting.FindStringSubmatch(pair)
	name := parts[1]
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	for _, word := range []string{"password", "secret", "token"} {
		if strings.Contains(name, word) {
			return parts[1] + parts[2] + mask
		}
	}
	return pair
}
