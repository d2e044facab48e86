package burst

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// What the rows hold. The texts are meant to be awkward where a shop's texts are: quotes, backslashes, other scripts,
// nothing at all, and now and then more than fits a page.
var (
	forenames = []string{"Ada", "Björn", "Chloé", "Dmitri", "Edsger", "Frances", "Grace", "Héctor", "Ines", "José", "Katherine", "Linus",
		"Margaret", "Niklaus", "Olga", "Per", "Radia", "Søren", "Tony", "Ursula", "Vint", "Wiebe", "Yukihiro", "Žofia"}
	surnames = []string{"Lovelace", "Åström", "Dubois", "Ivanov", "O'Neil", "Allen", "Hopper", "Núñez", "Müller", "García", "Johnson", "Ek",
		"Hamilton", "Wirth", "Petrova", "d'Arc", "Perlman", "Kierkegaard", "Hoare", "Le Guin", "Cerf", "de Vries", "松本", "Nováková"}
	nations  = []string{"AT", "BR", "CA", "CZ", "DE", "DK", "ES", "FR", "GB", "IN", "JP", "NL", "NO", "PL", "SE", "US"}
	wares    = []string{"BOOK", "CABLE", "CHAIR", "DESK", "LAMP", "MUG", "PEN", "RADIO", "SHELF", "STOOL", "VASE", "WATCH"}
	channels = []string{"web", "app", "phone", "shop"}
	notes    = []string{"", "gift wrap", "ring twice", `leave it at "No. 7"`, `C:\orders\urgent`, "c'est pressé", "急いで下さい", "two\nlines", "tab\there",
		"NULL", "50% now, 50% later", "🎁"}
)

func pick(dice *rand.Rand, list []string) string { return list[dice.IntN(len(list))] }

// maybe returns the text with the given chance, else nil, which is null.
func (p *planner) maybe(chance float64, text string) *string {
	if p.dice.Float64() < chance {
		return &text
	}
	return nil
}

func (p *planner) person(id int64) (name, email string) {
	forename := pick(p.dice, forenames)
	return forename + " " + pick(p.dice, surnames), fmt.Sprintf("%s.%d@example.com", strings.ToLower(forename), id)
}

func (p *planner) profile() string {
	return fmt.Sprintf(`{"newsletter": %t, "points": %d, "language": "%s"}`, p.dice.IntN(2) == 0, p.dice.IntN(1000), strings.ToLower(pick(p.dice, nations)))
}

func (p *planner) details() string {
	return fmt.Sprintf(`{"channel": "%s", "gift": %t, "weight_kg": %.3f, "coupon": null, "tags": ["%s", "é\\n"]}`,
		pick(p.dice, channels), p.dice.IntN(8) == 0, p.dice.Float64()*20, pick(p.dice, wares))
}

// patch is a small object to lay over another.
func (p *planner) patch() string {
	return fmt.Sprintf(`{"points": %d, "seen": "%s"}`, p.dice.IntN(1000), pick(p.dice, channels))
}

func (p *planner) sku() string {
	return fmt.Sprintf("%s-%04d", pick(p.dice, wares), p.dice.IntN(10_000))
}

// note is null or short, and once in a while so long that Postgres stores it apart from its row.
func (p *planner) note() *string {
	switch roll := p.dice.IntN(200); {
	case roll == 0:
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
		long := make([]byte, 3000+p.dice.IntN(3000))
		for i := range long {
			long[i] = letters[p.dice.IntN(len(letters))]
		}
		text := string(long)
		return &text
	case roll < 120:
		return nil
	default:
		text := pick(p.dice, notes)
		return &text
	}
}

func (p *planner) uuid() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], p.dice.Uint64())
	binary.BigEndian.PutUint64(id[8:], p.dice.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant 1
	return id
}
