package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/processor"
)

// Seen is a transaction as a reader saw it from its begin to its end.
type Seen struct {
	Epoch  uint32        `json:"epoch"`
	Commit cdc.CommitLSN `json:"commit_lsn"`
	XID    uint32        `json:"xid"`
	First  uint64        `json:"first"` // seq
	Last   uint64        `json:"last"`
	Events uint64        `json:"events"`
	Digest string        `json:"digest"` // of topics, partitions, seqs, positions, keys and values
}

// entry is a line of the online reader's file: a transaction, or the place after all transactions above it.
type entry struct {
	Seen  *Seen            `json:"seen,omitempty"`
	Saved *processor.Saved `json:"saved,omitempty"`
}

// Progress is what the online reader prints after each write: how far its file goes.
type Progress struct {
	Seq          uint64        `json:"seq"`
	Commit       cdc.CommitLSN `json:"commit_lsn"`
	Transactions int           `json:"transactions"`
}

// Bounds of what the online reader writes at once.
const (
	batchSpan         = 20 * time.Millisecond
	batchTransactions = 100
)

// ReadOnline follows a stream and writes each transaction to a file, which is also its durable position: a place is
// written with the transactions before it, in one write. It goes on where the file ends, and cuts off what follows the
// last place. It ends with ctx, or when the stream cannot be read further (processor.Broken). progress is told after
// each write, and of what it found.
func ReadOnline(ctx context.Context, k kafka.Config, prefix, path string, progress func(Progress)) error {
	file, seen, saved, err := openSeen(path)
	if err != nil {
		return err
	}
	defer file.Close()
	o := &online{file: file, done: Progress{Transactions: len(seen)}, tell: progress}
	start := processor.FromBeginning()
	if saved != nil {
		start = processor.From(*saved)
		o.done.Seq, o.done.Commit = saved.Seq, saved.Commit
		progress(o.done)
	}
	client, err := kafka.Connect(ctx, k)
	if err != nil {
		return err
	}
	defer client.Close()
	o.reader, err = processor.OpenReader(ctx, processor.ReaderConfig{Client: client, Prefix: prefix, Start: start})
	if err != nil {
		return err
	}
	defer o.reader.Close()
	return o.follow(ctx)
}

// ReaderMain is the online reader as a process: arguments are brokers, prefix and file, and the result is its exit code. It
// prints its Progress as lines of JSON and ends with SIGTERM. The code 4 says that the stream cannot be read further.
func ReaderMain(brokers, prefix, file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	out := json.NewEncoder(os.Stdout)
	k := kafka.Config{Brokers: strings.Split(brokers, ","), ClientID: "livedb/faults-reader"}
	err := ReadOnline(ctx, k, prefix, file, func(p Progress) {
		_ = out.Encode(p) // whoever does not listen is gone, and has us killed
	})
	switch {
	case err == nil:
		return 0
	case processor.Broken(err):
		fmt.Fprintln(os.Stderr, err)
		return 4
	default:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
}

// online is a reader that writes what it saw.
type online struct {
	reader *processor.Reader
	file   *os.File
	tell   func(Progress)
	done   Progress // with what is written
	batch  bytes.Buffer
	last   processor.Saved // the place after the batch
	count  int             // transactions of the batch
	due    time.Time       // when it is to be written
}

func (o *online) follow(ctx context.Context) error {
	var d digester
	for {
		item, err := o.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, processor.ErrUnavailable):
			continue
		case errors.Is(err, context.DeadlineExceeded):
			err = o.write()
		case err != nil:
		case d.take(&item):
			if err = o.add(d.seen); err == nil && o.count == batchTransactions {
				err = o.write()
			}
		}
		if err != nil {
			return err
		}
	}
}

// next returns the next item, and waits for it no longer than the batch may.
func (o *online) next(ctx context.Context) (processor.Item, error) {
	if o.count == 0 {
		return o.reader.Next(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, o.due)
	defer cancel()
	return o.reader.Next(ctx)
}

// add puts a transaction into the batch.
func (o *online) add(s Seen) error {
	if o.count == 0 {
		o.due = time.Now().Add(batchSpan)
	}
	o.last = o.reader.Saved()
	o.count++
	return json.NewEncoder(&o.batch).Encode(entry{Seen: &s})
}

// write makes the batch durable.
func (o *online) write() error {
	if err := json.NewEncoder(&o.batch).Encode(entry{Saved: &o.last}); err != nil {
		return err
	}
	if _, err := o.file.Write(o.batch.Bytes()); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	o.done = Progress{Seq: o.last.Seq, Commit: o.last.Commit, Transactions: o.done.Transactions + o.count}
	o.batch.Reset()
	o.count = 0
	o.tell(o.done)
	return nil
}

// digester makes a Seen out of the items of a transaction.
type digester struct {
	seen Seen
	sum  hash.Hash
}

// take takes the next item and reports whether seen is whole now.
func (d *digester) take(item *processor.Item) bool {
	switch item.Kind {
	case processor.Begin:
		d.seen = Seen{Epoch: item.Tx.Epoch, Commit: item.Tx.Commit, XID: item.Tx.XID, First: item.Tx.First}
		d.sum = sha256.New()
	case processor.Event:
		d.seen.Events++
		fmt.Fprintf(d.sum, "%s %d %d %s %d %d\n", item.Topic, item.Partition, item.Seq, item.Position, len(item.Key), len(item.Value))
		d.sum.Write(item.Key)
		d.sum.Write(item.Value)
	case processor.End:
		d.seen.Last = item.Seq
		d.seen.Digest = hex.EncodeToString(d.sum.Sum(nil))
		return true
	}
	return false
}

// openSeen opens a reader's file to append to it, without what follows the last place.
func openSeen(path string) (*os.File, []Seen, *processor.Saved, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, nil, err
	}
	seen, saved, size, err := parseSeen(file)
	if err == nil {
		err = file.Truncate(size)
	}
	if err == nil {
		_, err = file.Seek(size, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, nil, nil, fmt.Errorf("go on with the file %s: %w", path, err)
	}
	return file, seen, saved, nil
}

// parseSeen reads the transactions up to the last place, that place, and where it ends. Only the last write may be torn.
func parseSeen(file io.Reader) (seen []Seen, saved *processor.Saved, size int64, err error) {
	at, whole := int64(0), 0
	for r := bufio.NewReader(file); ; {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return seen[:whole], saved, size, nil
		}
		if err != nil {
			return nil, nil, 0, err
		}
		at += int64(len(text))
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, nil, 0, fmt.Errorf("the line that ends at byte %d: %w", at, err)
		}
		switch {
		case e.Seen != nil:
			seen = append(seen, *e.Seen)
		case e.Saved != nil:
			saved, whole, size = e.Saved, len(seen), at
		}
	}
}
