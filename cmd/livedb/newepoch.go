package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/livedb/livedb/internal/capture"
)

// epochFlags are those of a stream that has lost changes.
type epochFlags struct {
	NewEpoch epochOrder `name:"new-epoch" help:"Go on although changes were lost, in a new epoch that begins with a certificate of the gap. An order for one start: give the number that the refusal names (--new-epoch=2), and it does nothing once that epoch has begun; without a number it is the next epoch, whichever that is."`
	JSON     bool       `name:"json" help:"Print as one JSON object what --drain did, or, where changes are lost, the certificate of the gap."`
}

// epochOrder is the number of the epoch that is ordered: 0 for none, capture.NextEpoch where no number is given.
type epochOrder uint32

// IsBool has the flag's value be optional.
func (*epochOrder) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (o *epochOrder) Decode(c *kong.DecodeContext) error {
	text := "true"
	if c.Scan.Peek().Type == kong.FlagValueToken {
		text = fmt.Sprint(c.Scan.Pop().Value)
	}
	switch text {
	case "true":
		*o = capture.NextEpoch
		return nil
	case "false", "":
		*o = 0
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 2 || n == math.MaxUint32 {
		return fmt.Errorf("%q is not the number of an epoch after the first", text)
	}
	*o = epochOrder(n)
	return nil
}

// String writes the order as it may be given.
func (o epochOrder) String() string {
	switch o {
	case 0:
		return "false"
	case capture.NextEpoch:
		return "true"
	}
	return strconv.FormatUint(uint64(o), 10)
}

// stopped prints the certificate of a role that ended because changes are lost, if that is asked for.
func (f epochFlags) stopped(i *invocation, err error) error {
	var lost *capture.LostError
	if !f.JSON || !errors.As(err, &lost) {
		return err
	}
	text, jsonErr := json.MarshalIndent(lost.Gap, "", "  ")
	if jsonErr != nil {
		return errors.Join(err, fmt.Errorf("write the certificate: %w", jsonErr))
	}
	fmt.Fprintf(i.out, "%s\n", text)
	return err
}
