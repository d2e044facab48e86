package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/processor"
)

// A program that follows the orders of a shop, transaction by transaction, and goes on where it was. It stores its place
// with its effects, in one step: that is what makes them happen exactly once. Here both are one file that is renamed into
// place; a database's transaction does the same.
func ExampleReader() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	brokers, stop := exampleShop() // in real life: livedb run --prefix shop
	defer stop()
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	// What the program computes, and the place that it is true for.
	var sales struct {
		Orders int
		Place  processor.Saved
	}
	file := filepath.Join(folder, "sales.json")

	for range 2 { // it runs, stops and runs again
		start := processor.FromBeginning()
		if text, err := os.ReadFile(file); err == nil {
			if err := json.Unmarshal(text, &sales); err != nil {
				log.Fatal(err)
			}
			start = processor.From(sales.Place)
		}
		client, err := sarama.NewClient(brokers, processor.NewConfig("sales"))
		if err != nil {
			log.Fatal(err)
		}
		reader, err := processor.OpenReader(ctx, processor.ReaderConfig{
			Client: client, Prefix: "shop", Start: start, Tables: []string{"public.orders"}})
		if err != nil {
			log.Fatal(err)
		}

		for ended := false; !ended; {
			item, err := reader.Next(ctx)
			if err != nil { // with ErrUnavailable one may call Next again; a real program tells of it first
				log.Fatal(err)
			}
			switch item.Kind {
			case processor.Begin:
				fmt.Println("transaction", item.Tx.XID)
			case processor.Event:
				event, err := envelope.ParseEvent(item.Value)
				if err != nil {
					log.Fatal(err)
				}
				fmt.Println(" ", item.Position, event.Kind(), string(event.After))
				sales.Orders++
			case processor.End:
				sales.Place = reader.Saved()
				text, err := json.Marshal(sales)
				if err == nil {
					err = os.WriteFile(file+".new", text, 0o600)
				}
				if err == nil {
					err = os.Rename(file+".new", file)
				}
				if err != nil {
					log.Fatal(err)
				}
				fmt.Println("orders so far:", sales.Orders)
				ended = true // for this example, one transaction in each run
			}
		}
		reader.Close()
		client.Close()
	}
	// Output:
	// transaction 501
	//   0/16B3748:1 c {"id":1,"total":"199.90"}
	//   0/16B3748:2 c {"id":2,"total":"12.00"}
	// orders so far: 2
	// transaction 503
	//   0/16B3A10:2 c {"id":3,"total":"5.50"}
	// orders so far: 3
}
