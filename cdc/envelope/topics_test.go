package envelope

import (
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	topics := Topics("livedb")
	for _, c := range []struct{ got, want string }{
		{topics.Transaction(), "livedb.transaction"},
		{topics.Checkpoint(), "livedb.checkpoint"},
		{topics.Truncate(), "livedb.truncate"},
		{topics.Message(), "livedb.message"},
		{topics.Status(), "livedb.status"},
		{topics.View("sales"), "livedb.view-sales"},
		{topics.State("sales"), "livedb.state-sales"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestTableTopic(t *testing.T) {
	for _, c := range []struct{ schema, table, want string }{
		{"public", "orders", "livedb.public.orders"},
		{"public", "Order Items", "livedb.public.Order_Items"},
		{"Größe", "a/b\\c$", "livedb.Gr__e.a_b_c_"},
		{"a.b", "c-d_e", "livedb.a.b.c-d_e"},
		{"s", "t\xff\xfe\n", "livedb.s.t___"},
		{"s", "世界", "livedb.s.__"},
	} {
		got, err := Topics("livedb").Table(c.schema, c.table)
		if err != nil || got != c.want {
			t.Errorf("%q.%q: got %s, %v, want %s", c.schema, c.table, got, err, c.want)
		}
	}
}

func TestTableTopicThatIsTooLong(t *testing.T) {
	prefix := Topics(strings.Repeat("p", 100))
	fits := strings.Repeat("t", MaxTopicName-len(prefix)-len(".s."))
	if name, err := prefix.Table("s", fits); err != nil || len(name) != MaxTopicName {
		t.Errorf("got %d bytes, %v", len(name), err)
	}
	name, err := prefix.Table("s", fits+"t")
	if err == nil || !strings.Contains(err.Error(), "s."+fits) || !strings.Contains(err.Error(), "250") {
		t.Errorf("got %s, %v", name, err)
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, prefix := range []string{"livedb", "a.b-c_D9", strings.Repeat("p", 100)} {
		if err := CheckPrefix(prefix); err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
	}
	for _, prefix := range []string{"", "a b", "ü", "a/b", "a\n", "\xff", strings.Repeat("p", 101)} {
		if err := CheckPrefix(prefix); err == nil {
			t.Errorf("%q was accepted", prefix)
		}
	}
}
