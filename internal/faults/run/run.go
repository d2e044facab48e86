//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"

	"github.com/livedb/livedb/internal/faults"
)

// runCommand runs rounds until every fault has been done.
type runCommand struct {
	CDC       int `name:"cdc" default:"200" help:"kill -9 of the role cdc."`
	Postgres  int `name:"postgres" default:"50" help:"Kills and shutdowns of Postgres."`
	Walsender int `name:"walsender" default:"50" help:"Terminations of the walsender."`
	Broker    int `name:"broker" default:"30" help:"kill -9 of a broker; only with three nodes."`
	Processor int `name:"processor" default:"50" help:"kill -9 of the role process."`
	Reader    int `name:"reader" default:"50" help:"kill -9 of the online reader."`
	Pause     int `name:"pause" default:"10" help:"SIGSTOP of the role cdc until another one has taken over."`
	Pairs     int `name:"pairs" default:"50" help:"Two cdc started at once."`

	BrokerCDC         int `name:"broker-cdc" default:"10" help:"kill -9 of a broker and of the role cdc at once; only with three nodes."`
	PostgresProcessor int `name:"postgres-processor" default:"10" help:"Kills and shutdowns of Postgres, with a kill -9 of the role process meanwhile."`

	PostgresBin []string `name:"postgres-bin" placeholder:"DIR" help:"Folders of initdb and postgres, taken in turn; what the machine has if none is given."`
	KafkaNodes  int      `name:"kafka-nodes" enum:"0,1,3" default:"3" help:"Nodes of Apache Kafka: 3, 1, or 0 for the embedded kfake."`
	PerRound    int      `name:"per-round" default:"25" help:"Faults of a round."`
	Seed        uint64   `name:"seed" default:"0" help:"Of all dice; 0 draws one."`
	State       string   `name:"state" placeholder:"FILE" help:"Add each round's result to this file, as a line of JSON."`
	Resume      bool     `name:"resume" help:"Do what the state file lacks."`
	Logs        string   `name:"logs" placeholder:"DIR" help:"Where logs are; those of failed rounds stay. A temporary folder if not given."`
	JSON        bool     `name:"json" help:"Print each round as a line of JSON, instead of the table."`
}

func (c *runCommand) totals() faults.Counts {
	return faults.Counts{faults.CDC: c.CDC, faults.Postgres: c.Postgres, faults.Walsender: c.Walsender, faults.Broker: c.Broker,
		faults.Processor: c.Processor, faults.Reader: c.Reader, faults.Pause: c.Pause, faults.Pair: c.Pairs,
		faults.BrokerCDC: c.BrokerCDC, faults.PostgresProcessor: c.PostgresProcessor}
}

// Run implements the command.
func (c *runCommand) Run(ctx context.Context) error {
	totals, done, err := c.begin()
	if err != nil {
		return err
	}
	stack, end, err := c.stack(ctx)
	if err != nil {
		return err
	}
	results, err := c.rounds(ctx, stack, totals, done)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Print(faults.Table(results))
	}
	return verdict(results, totals)
}

// begin checks the flags and reads what is done already.
func (c *runCommand) begin() (faults.Counts, []faults.Result, error) {
	totals := c.totals()
	switch {
	case c.PerRound < 1:
		return nil, nil, fmt.Errorf("a round cannot have %d faults; give --per-round 1 or more", c.PerRound)
	case c.Resume && c.State == "":
		return nil, nil, errors.New("there is nothing to resume; name the file with --state")
	case totals[faults.Broker]+totals[faults.BrokerCDC] > 0 && c.KafkaNodes < 3:
		return nil, nil, errors.New("a broker can be killed only where there are three nodes; give --kafka-nodes 3, or --broker 0 and --broker-cdc 0")
	}
	if len(c.PostgresBin) == 0 {
		c.PostgresBin = []string{""}
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.State == "" {
		return totals, nil, nil
	}
	done, err := faults.ReadResults(c.State)
	if err == nil && len(done) > 0 && !c.Resume {
		err = fmt.Errorf("the state file %s holds %d rounds already; give --resume to do what is left, or name another file", c.State, len(done))
	}
	return totals, done, err
}

// stack builds the program and starts Kafka.
func (c *runCommand) stack(ctx context.Context) (_ *faults.Stack, end func() error, err error) {
	temp, err := os.MkdirTemp("", "livedb-faults-")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	s := &faults.Stack{Reader: []string{self, "reader"}, Dir: c.Logs, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Out: os.Stderr}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "livedb-faults-logs-"); err != nil {
			return nil, nil, err
		}
	}
	if s.Livedb, err = faults.Build(ctx, temp); err != nil {
		return nil, nil, err
	}
	if s.Kafka, err = faults.StartKafka(ctx, c.KafkaNodes, s.Log); err != nil {
		return nil, nil, err
	}
	s.Log.Info("run", "seed", c.Seed, "kafka", s.Kafka.Name, "brokers", s.Kafka.Addresses, "logs", s.Dir)
	return s, func() error { return errors.Join(s.Kafka.Close(), os.RemoveAll(temp)) }, nil
}

// rounds does rounds until nothing is left, one fails or ctx ends.
func (c *runCommand) rounds(ctx context.Context, stack *faults.Stack, totals faults.Counts, results []faults.Result) ([]faults.Result, error) {
	rng := rand.New(rand.NewPCG(c.Seed, uint64(len(results))))
	for ctx.Err() == nil {
		left := totals.Without(faults.Sum(results).Faults)
		if left.Sum() == 0 {
			break
		}
		plan := faults.Plan{Round: len(results) + 1, Seed: rng.Uint64(), PostgresBin: c.PostgresBin[len(results)%len(c.PostgresBin)],
			Faults: left.Draw(rng, c.PerRound)}
		result := stack.Run(ctx, plan)
		if ctx.Err() != nil {
			break // interrupted: it says nothing about LiveDB
		}
		results = append(results, result)
		if c.State != "" {
			if err := faults.AppendResult(c.State, result); err != nil {
				return results, err
			}
		}
		if c.JSON {
			if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
				return results, err
			}
		}
		if result.Failure != "" {
			break
		}
	}
	return results, nil
}

// verdict is an error unless all faults were done and every round passed.
func verdict(results []faults.Result, totals faults.Counts) error {
	for _, r := range results {
		if r.Failure != "" {
			return fmt.Errorf("round %d with seed %d failed: %s", r.Round, r.Seed, r.Failure)
		}
	}
	if left := totals.Without(faults.Sum(results).Faults); left.Sum() > 0 {
		return fmt.Errorf("interrupted; left to do: %s", left)
	}
	return nil
}
