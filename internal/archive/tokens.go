package archive

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/seal"
	"archivolt/internal/store"
)

// lookUpTokens narrows an archive of ours to the records that have the token of
// one of the people, and, where rooms are named too, that of one of the rooms.
// No other record is opened. Records whose data key is not at hand have tokens
// that nobody can compute: they are read, and accounted for.
func (a *Archive) lookUpTokens(ctx context.Context, people, rooms []string) (notes []string, err error) {
	opened, shut := 0, 0
	for _, p := range a.parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o, s := p.stored.(*own).narrow(people, rooms)
		opened += o
		shut += s
	}
	if opened == 0 {
		return nil, nil
	}
	if shut > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d data keys do not open: in what is sealed under them nobody was looked for", shut, opened+shut))
	}
	switch {
	case len(people) == 0:
		notes = append(notes, "only records of the rooms named were opened")
	default:
		notes = append(notes, "only records of the people named were opened. In rooms these are the copies that they sent or received through this server: other recipients are not listed, and others who spoke are known by their nicks alone. --no-fast reads everything")
	}
	return notes, nil
}

// narrow chooses the records to read, and tells how many epochs open. If none
// does, all are read, to say so of each.
func (o *own) narrow(people, rooms []string) (opened, shut int) {
	numbers := slices.Sorted(maps.Keys(o.epochs))
	var queries []store.Query
	inRooms := map[uint64][]uint64{}
	for _, number := range numbers {
		e := o.epochs[number]
		key, err := e.open()
		if err != nil {
			shut++
			if e.entry == nil {
				continue
			}
			q := store.Query{From: e.index + 1, To: o.head.Size} // until the next epoch begins
			for _, other := range o.epochs {
				if other.entry != nil && other.index > e.index {
					q.To = min(q.To, other.index)
				}
			}
			queries = append(queries, q)
			continue
		}
		opened++
		wanted := tokensOf(key, people)
		if len(people) == 0 {
			wanted = tokensOf(key, rooms)
		} else if len(rooms) > 0 {
			inRooms[number] = tokensOf(key, rooms)
		}
		queries = append(queries, store.Query{Tokens: map[uint64][]uint64{number: wanted}})
	}
	if opened == 0 {
		return opened, shut
	}
	o.queries, o.found = queries, true
	if len(people) > 0 && len(rooms) > 0 {
		o.rooms = inRooms
	}
	return opened, shut
}

// tokensOf are the tokens of addresses as people write them, in each form that
// the archive may have them in, and that of an unknown participant, who may be
// any of them.
func tokensOf(key *seal.Epoch, addresses []string) (tokens []uint64) {
	tokens = append(tokens, store.TokenNumber([ledger.TokenSize]byte(key.Token(seal.Unknown))))
	for _, a := range addresses {
		bare := message.Pattern(a)
		for _, form := range []string{bare, message.Escape(bare)} {
			if t := store.TokenNumber([ledger.TokenSize]byte(key.Token(form))); !slices.Contains(tokens, t) {
				tokens = append(tokens, t)
			}
		}
	}
	return tokens
}
