package main

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// sourceURL is a connection string that may hold passwords. However it is printed, logged or marshalled, they are masked;
// Reveal is the only way to the real one.
type sourceURL string

// Reveal gives the connection string with its passwords: for connecting, never for showing.
func (u sourceURL) Reveal() string { return string(u) }

func (u sourceURL) String() string { return maskSource(string(u)) }

// GoString masks what %#v prints.
func (u sourceURL) GoString() string { return "sourceURL(" + u.String() + ")" }

// MarshalJSON masks what JSON holds.
func (u sourceURL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// LogValue masks what slog writes.
func (u sourceURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// secret is a password or the like. However it is printed, logged or marshalled, it is masked; Reveal is the only way to
// the real one.
type secret string

// Reveal gives the secret: for logging in, never for showing.
func (s secret) Reveal() string { return string(s) }

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString masks what %#v prints.
func (s secret) GoString() string { return "secret(" + s.String() + ")" }

// MarshalJSON masks what JSON holds.
func (s secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue masks what slog writes.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

const mask = "****"

var (
	// A password that nobody escaped may hold any character, even @ and /. So all is hidden from the first colon after
	// the scheme to the last @, which in odd URLs hides more than the password.
	urlPassword    = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://[^:]*):.*@`)
	urlSetting     = regexp.MustCompile(`([^?&=#]+)(=)([^&]*)`)
	keywordSetting = regexp.MustCompile(`([^\s=]+)(\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])*)`)
)

// maskSource hides the passwords of a URL, or of a keyword string such as "host=x password=y".
func maskSource(source string) string {
	if !strings.Contains(source, "://") {
		return maskSettings(keywordSetting, source)
	}
	source = urlPassword.ReplaceAllString(source, "${1}:"+mask+"@")
	head, query, found := strings.Cut(source, "?")
	if !found {
		return source
	}
	return head + "?" + maskSettings(urlSetting, query)
}

func maskSettings(setting *regexp.Regexp, text string) string {
	return setting.ReplaceAllStringFunc(text, func(pair string) string {
		part := setting.FindStringSubmatch(pair)
		name := part[1]
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		for _, secret := range []string{"password", "secret", "token"} {
			if strings.Contains(strings.ToLower(name), secret) {
				return part[1] + part[2] + mask
			}
		}
		return pair
	})
}
