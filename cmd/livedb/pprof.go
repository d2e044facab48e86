package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/livedb/livedb/ui"
)

// servePprof serves Go's profiles for as long as the process lives, on loopback alone: a profile may hold rows.
func (i *invocation) servePprof() error {
	address := i.globals.Pprof
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &usageError{"--pprof " + address + " is not an address of this machine alone", "give a loopback address, such as 127.0.0.1:6060"}
	}
	l, err := ui.Listen(address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			i.log().Warn("profiles are not served any more", "error", err)
		}
	}()
	return nil
}
