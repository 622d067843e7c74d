package review

import (
	"context"

	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// Hit is a message that was found, or one of those around it.
type Hit struct {
	*transcript.Utterance
	Conversation string // the two people, or the room
	Found        bool
	New          bool // does not follow the last one given of its conversation
}

// maxConversations bounds the conversations whose last messages are kept for
// showing them before a hit.
const maxConversations = 20_000

// Search gives the messages that the filter chooses to fn, each with up to
// around messages of the same conversation before and after it.
func Search(ctx context.Context, src Source, f *message.Filter, around int, fn func(Hit) error) (Account, error) {
	last := map[string]*window{}
	everything := message.Filter{}
	return Utterances(ctx, src, &everything, func(u *transcript.Utterance) error {
		s := Subject(u)
		found := f.Match(&s)
		if around == 0 {
			if found {
				return fn(Hit{Utterance: u, Conversation: Conversation(u), Found: true, New: true})
			}
			return nil
		}
		name := Conversation(u)
		w := last[name]
		if w == nil {
			if len(last) >= maxConversations {
				clear(last)
			}
			w = &window{parted: true}
			last[name] = w
		}
		switch {
		case found:
			fresh := w.parted
			for _, before := range w.before {
				if err := fn(Hit{Utterance: before, Conversation: name, New: fresh}); err != nil {
					return err
				}
				fresh = false
			}
			w.before, w.after, w.parted = nil, around, false
			return fn(Hit{Utterance: u, Conversation: name, Found: true, New: fresh})
		case w.after > 0:
			w.after--
			return fn(Hit{Utterance: u, Conversation: name})
		}
		kept := *u
		w.before = append(w.before, &kept)
		if len(w.before) > around {
			w.before, w.parted = w.before[1:], true
		}
		return nil
	})
}

// window is the neighbourhood of a conversation's latest message.
type window struct {
	before []*transcript.Utterance // not given yet
	after  int                     // how many are still to be given after a hit
	parted bool                    // before does not follow the last one given
}
