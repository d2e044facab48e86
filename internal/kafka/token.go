package kafka

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
)

// Token says where OAUTHBEARER's token comes from: a file that something else keeps fresh, or an endpoint that gives one for
// the client's id and secret (RFC 6749, client credentials).
type Token struct {
	File string // read anew for every login

	URL          string
	ClientID     string
	ClientSecret string
	Scope        string // may be empty
}

func (t Token) check(inClear bool) error {
	if t.File != "" {
		if t != (Token{File: t.File}) {
			return badLogin("both a token's file and its endpoint are given", "give --kafka-token-file or --kafka-token-url, not both")
		}
		return nil
	}
	if t.URL == "" || t.ClientID == "" || t.ClientSecret == "" {
		return badLogin(OAuthBearer+" needs a token", "give --kafka-token-file, or --kafka-token-url with --kafka-token-client and --kafka-token-secret")
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return badLogin("the address of --kafka-token-url cannot be read", "write it as https://host/path, without user and password")
	}
	return clearURL(u, inClear)
}

func (t Token) provider() sarama.AccessTokenProvider {
	if t.File != "" {
		return tokenFile(t.File)
	}
	return &tokenEndpoint{from: t, client: &http.Client{
		Timeout: tokenTimeout,
		// The secret goes where the user said, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type tokenFile string

// Token reads the file.
func (f tokenFile) Token() (*sarama.AccessToken, error) {
	text, err := os.ReadFile(string(f))
	if err != nil {
		return nil, badToken(fmt.Sprintf("the file of --kafka-token-file cannot be read (%v)", err), "name a readable file that holds the token alone", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return nil, badToken("the file "+string(f)+" of --kafka-token-file is empty", "let it hold the token alone", nil)
	}
	return &sarama.AccessToken{Token: token}, nil
}

const (
	tokenTimeout  = 10 * time.Second
	tokenMaxBytes = 1 << 20
)

// tokenEndpoint asks for a token when there is none, or when the last has lived for four fifths of its time: sarama logs in
// again before a session ends, and must get another one then.
type tokenEndpoint struct {
	from   Token
	client *http.Client

	mu    sync.Mutex
	token string
	stale time.Time
}

// tokenAnswer is what the endpoint says, be it a token or an error.
type tokenAnswer struct {
	Token     string  `json:"access_token"`
	ExpiresIn float64 `json:"expires_in"` // seconds
	Error     string  `json:"error"`
}

// Token returns a fresh token within tokenTimeout. Any goroutine may call it.
func (e *tokenEndpoint) Token() (*sarama.AccessToken, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); !now.Before(e.stale) {
		answer, err := e.ask()
		if err != nil {
			return nil, err
		}
		e.token, e.stale = answer.Token, now.Add(time.Duration(answer.ExpiresIn*0.8*float64(time.Second)))
	}
	return &sarama.AccessToken{Token: e.token}, nil
}

func (e *tokenEndpoint) ask() (tokenAnswer, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if e.from.Scope != "" {
		form.Set("scope", e.from.Scope)
	}
	var answer tokenAnswer
	request, err := http.NewRequest(http.MethodPost, e.from.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(e.from.ClientID), url.QueryEscape(e.from.ClientSecret)) // encoded: RFC 6749, section 2.3.1
	response, err := e.client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("ask for a token: %w", err)
	}
	defer response.Body.Close()
	err = json.NewDecoder(io.LimitReader(response.Body, tokenMaxBytes)).Decode(&answer)
	switch {
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return answer, fmt.Errorf("ask %s for a token: %s", e.from.URL, response.Status)
	case response.StatusCode != http.StatusOK:
		return answer, badToken(fmt.Sprintf("the token endpoint %s refuses the client %s (%s %.40q)", e.from.URL, e.from.ClientID, response.Status, answer.Error),
			"check --kafka-token-url, --kafka-token-client, --kafka-token-secret and --kafka-token-scope", nil)
	case err != nil || answer.Token == "":
		return answer, badToken(fmt.Sprintf("the token endpoint %s gave no token", e.from.URL), "check --kafka-token-url", err)
	}
	return answer, nil
}

func badToken(problem, remedy string, err error) error {
	return &cdc.Refusal{Name: "kafka_token_refused", Problem: problem, Remedy: remedy, Err: err}
}
