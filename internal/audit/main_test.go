package audit_test

import (
	"os"
	"testing"

	"github.com/livedb/livedb/internal/devstack"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.RunTests(m))
}
