package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// stack is what the demo runs on: embedded servers, or the user's.
type stack struct {
	source   postgres.Config
	brokers  []string
	access   kafkaAccess // of the user's Kafka
	prefix   string
	retain   int64 // bytes kept by each partition of the event topics, and of the view's results
	results  int64
	postgres string // for people
	kafka    string
	cleanUps []func(ctx context.Context) error // in the order they were set up
}

// These bound the embedded Kafka, which lives in memory: compressed bytes of each partition of the event topics, and of
// the view's results.
const (
	demoRetention     = 1 << 20
	demoViewRetention = 4 << 20
)

// start starts or finds both servers side by side and prepares the source.
func (c *demoCommand) start(ctx context.Context, log *slog.Logger) (_ *stack, err error) {
	s := &stack{}
	defer func() {
		if err != nil {
			s.stop(log)
		}
	}()
	var pg *devstack.Postgres
	group, starting := errgroup.WithContext(ctx)
	if c.Source == "" {
		group.Go(func() (err error) {
			pg, err = devstack.StartPostgres(starting, devstack.PostgresConfig{BinDir: c.PgBin, Log: log})
			return err
		})
	}
	group.Go(func() error {
		if len(c.Kafka) == 0 {
			return s.embedKafka(log)
		}
		return s.useKafka(starting, c.Kafka, c.kafkaAccess)
	})
	err = group.Wait()
	if pg != nil {
		s.cleanUps = append(s.cleanUps, pg.Stop)
	}
	if err != nil {
		return nil, err
	}
	url := c.Source.Reveal()
	if pg != nil {
		url = pg.URL()
		s.postgres = fmt.Sprintf("%s, embedded: %s", pg.Version(), url)
	} else {
		s.postgres = c.Source.String()
	}
	s.source = c.sourceConfig(url)
	if err := c.prepare(ctx, s.source); err != nil {
		return nil, err
	}
	if pg == nil {
		s.cleanUps = append(s.cleanUps, func(ctx context.Context) error {
			if err := postgres.DropSlots(ctx, s.source); err != nil {
				return err
			}
			return postgres.DropPublication(ctx, s.source)
		})
	}
	return s, nil
}

func (s *stack) embedKafka(log *slog.Logger) error {
	k, err := devstack.StartKafka(devstack.KafkaConfig{RetentionBytes: demoRetention, Log: log})
	if err != nil {
		return err
	}
	s.cleanUps = append(s.cleanUps, func(context.Context) error { k.Close(); return nil })
	s.brokers, s.prefix, s.retain, s.results = k.Brokers(), "livedb", demoRetention, demoViewRetention
	s.kafka = "embedded, in memory: " + strings.Join(s.brokers, ",")
	return nil
}

// useKafka takes a prefix of its own on the user's Kafka, since the demo starts anew each time.
func (s *stack) useKafka(ctx context.Context, brokers []string, access kafkaAccess) error {
	k := kafkaFlags{Kafka: brokers, kafkaAccess: access}.config("demo")
	client, err := kafka.Connect(ctx, k)
	if err != nil {
		return err
	}
	defer client.Close()
	var random [4]byte
	rand.Read(random[:]) // never fails
	s.brokers, s.access, s.prefix = brokers, access, "livedb-demo-"+hex.EncodeToString(random[:])
	s.kafka = fmt.Sprintf("%s, topics %s.*", strings.Join(brokers, ","), s.prefix)
	s.cleanUps = append(s.cleanUps, func(ctx context.Context) error {
		client, err := kafka.Connect(ctx, k)
		if err != nil {
			return err
		}
		defer client.Close()
		return kafka.DeleteTopics(client, s.prefix)
	})
	return nil
}

// stop undoes what start did, the last thing first. The roles have ended.
func (s *stack) stop(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	for i := len(s.cleanUps) - 1; i >= 0; i-- {
		if err := s.cleanUps[i](ctx); err != nil {
			log.Error("the demo could not clean up; the next demo will", "error", err)
		}
	}
	s.cleanUps = nil
}
