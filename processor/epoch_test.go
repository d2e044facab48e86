package processor

import "testing"

// An epoch ends with a gap, and the next one counts from 1 on again. #2 marks an event of epoch 2.
func TestEpochsFollowEachOther(t *testing.T) {
	for _, story := range []struct{ name, script string }{
		{"the next one begins after all of the one before", `
			topic orders 2
			tx 7@100 1-2 orders:2 + 8@200 3-3 orders:1
			gap 3
			tx 4@50 1-2 orders:2
			orders/0 1@100 1@50#2
			orders/1 2@100
			> begin 7, 1, 2, end 7, begin 8
			orders/1 3@200
			> 3, end 8, epoch 2, begin 4, 1
			saved 2 0 1 2
			orders/1 2@50#2
			> 2, end 4
			saved 2 2 1 3`},
		{"early events of the next one do not hide a loss", `
			topic orders 2
			tx 7@100 1-3 orders:3
			gap 3
			tx 8@200 1-2 orders:2
			orders/0 1@100 1@200#2
			orders/1 3@100
			> begin 7, 1, gap in topic orders, partition 1, offset 0: seq 2 was due and seq 3 is there`},
		{"a loss at the end of an epoch is found by the next one's events", `
			topic orders 1
			tx 7@100 1-2 orders:2
			gap 2
			orders/0 1@100 1@50#2
			> begin 7, 1, gap in topic orders, partition 0, offset 1: seq 2 was due and seq 1 of epoch 2 is there`},
		{"a reader of some tables goes over it too", `
			choose orders
			topic orders 2
			tx 7@100 1-3 orders:2 items:1
			gap 3
			tx 8@200 1-3 items:1 orders:2
			orders/0 1@100 3@200#2
			> begin 7, 1
			orders/1 3@100 2@200#2
			> 3, end 7, epoch 2, begin 8, 2, 3, end 8`},
		{"the gap cuts a transaction in two", `
			topic orders 1
			tx 7@100 1-2 orders:2 split
			gap 2 partial
			tx 8@200 1-1 orders:1
			orders/0 1@100 2@100 1@200#2
			> begin 7, 1, 2, epoch 2, begin 8, 1, end 8`},
		{"a transaction is cut in two and the certificate does not tell", `
			topic orders 1
			tx 7@100 1-2 orders:2 split
			gap 2
			orders/0 1@100 2@100
			> begin 7, 1, 2, disorder in topic p.transaction, partition 0, offset 1: the end of epoch 1 with seq 2 was due and its end with seq 2 is there`},
		{"the certificate tells of more than there was", `
			topic orders 1
			tx 7@100 1-2 orders:2
			gap 3
			orders/0 1@100 2@100
			> begin 7, 1, 2, end 7, gap in topic p.transaction, partition 0, offset 1: seq 3 was due and the end of epoch 1 with seq 3 is there`},
		{"the certificate tells of less than there was", `
			topic orders 1
			tx 7@100 1-2 orders:2
			gap 1
			orders/0 1@100 2@100
			> begin 7, 1, 2, end 7, disorder in topic p.transaction, partition 0, offset 1: the end of epoch 1 with seq 2 was due and its end with seq 1 is there`},
		{"an epoch without a certificate", `
			topic orders 1
			tx 7@100 1-1 orders:1
			epoch 2
			tx 8@200 1-1 orders:1
			orders/0 1@100
			> begin 7, 1, end 7, new epoch in topic p.transaction, partition 0, offset 1: epoch 1 was due and epoch 2 is there`},
		{"an epoch is left out", `
			topic orders 1
			tx 7@100 1-1 orders:1
			epoch 2
			gap 4
			orders/0 1@100
			> begin 7, 1, end 7, new epoch in topic p.transaction, partition 0, offset 1: epoch 1 was due and epoch 3 is there`},
		{"an epoch goes back", `
			topic orders 1
			gap 0
			tx 8@200 1-1 orders:1
			epoch 1
			tx 9@300 2-2 orders:1
			orders/0 1@200#2
			> epoch 2, begin 8, 1, end 8, new epoch in topic p.transaction, partition 0, offset 2: epoch 2 was due and epoch 1 is there`},
		{"an event of the old epoch comes after the new one began", `
			topic orders 2
			tx 7@100 1-1 orders:1
			gap 1
			tx 8@200 1-1 orders:1
			orders/0 1@100
			> begin 7, 1, end 7, epoch 2, begin 8
			orders/1 2@100
			> repeat in topic orders, partition 1, offset 0: a seq from 1 of epoch 2 was due and seq 2 is there`},
		{"an epoch that held nothing", `
			topic orders 1
			gap 0
			gap 0
			tx 8@200 1-1 orders:1
			orders/0 1@200#3
			> epoch 2, epoch 3, begin 8, 1, end 8`},
		{"reading from a place in the old one", `
			start saved seq=2 commit=100 transaction=0 entry=1
			topic orders 1
			tx 7@100 1-2 orders:2 + 8@200 3-3 orders:1
			gap 3
			tx 4@50 1-1 orders:1
			orders/0 3@200 1@50#2
			> begin 8, 3, end 8, epoch 2, begin 4, 1, end 4`},
		{"reading from the beginning of the new one", `
			start saved epoch=2 seq=0 transaction=2
			topic orders 1
			epoch 2
			tx 4@50 1-1 orders:1
			orders/0 3@200 1@50#2
			> begin 4, 1, end 4`},
		{"reading from now, which is in the old one", `
			start now
			topic orders 1
			tx 7@100 4-5 orders:2
			gap 5
			tx 4@50 1-1 orders:1
			orders/0 4@100 5@100 1@50#2
			> begin 7, 4, 5, end 7, epoch 2, begin 4, 1, end 4`},
		{"reading from now, and the first to come is a new epoch", `
			start now
			gap 5
			topic orders 1
			tx 4@50 1-1 orders:1
			orders/0 5@100 1@50#2
			> epoch 2, begin 4, 1, end 4`},
		{"the oldest that is whole is in the new one", `
			start oldest 3
			topic orders 1
			tx 7@100 1-2 orders:2
			gap 2
			tx 4@50 1-1 orders:1
			orders/0 1@100 2@100 1@50#2
			> epoch 2, begin 4, 1, end 4`},
		{"the log begins with a new epoch", `
			gap 7
			topic orders 1
			tx 4@50 1-1 orders:1
			orders/0 6@100 7@100 1@50#2
			> epoch 2, begin 4, 1, end 4`},
	} {
		t.Run(story.name, func(t *testing.T) { tell(t, story.script) })
	}
}
