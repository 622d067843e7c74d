package capture

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"archivolt/internal/ledger"
	"archivolt/internal/message"
	"archivolt/internal/seal"
	"archivolt/internal/spool"
	"archivolt/internal/stanza"
	"archivolt/internal/xmpp"
)

// sealer takes deliveries, seals their copies and appends them to the spool. It
// runs in one goroutine.
type sealer struct {
	s        *Service
	marks    map[string]uint64  // by source: highest delivery number that is durable
	ordinals map[string]uint64  // by connection: copies of it so far
	refused  map[string]refusal // by source
	epoch    *seal.Epoch
	number   uint64 // of the last epoch
	began    time.Time
	records  int // sealed in the epoch
	parsed   stanza.Message
}

// refusal is the first copy of a source that was refused. Were a later one
// taken before it comes again, its number would look like a repetition.
type refusal struct {
	connection string
	number     uint64
}

// recover reads what the spool holds behind the store, for marks and the
// number of the last epoch. It returns how many entries these are.
func (z *sealer) recover(stored uint64) (backlog int, err error) {
	r := z.s.spool.Reader(stored)
	defer r.Close()
	for {
		entries, err := r.Next(maxStoreBytes)
		if err != nil {
			return 0, spoolProblem(z.s.cfg.StateDir, err)
		}
		if len(entries) == 0 {
			return backlog, nil
		}
		backlog += len(entries)
		for _, e := range entries {
			entry, _, _, err := decode(e.Data, z.s.id)
			if err != nil {
				return 0, spoolProblem(z.s.cfg.StateDir, fmt.Errorf("entry %d: %w", e.Number, err))
			}
			switch entry := entry.(type) {
			case *ledger.Record:
				if ledger.Numbered(entry.Source) {
					z.marks[entry.Source] = max(z.marks[entry.Source], entry.Number)
				}
			case *ledger.Epoch:
				z.number = entry.Number
			}
		}
	}
}

// run works until the service drains.
func (z *sealer) run() {
	s := z.s
	defer z.end()
	heartbeat := time.NewTicker(s.cfg.HeartbeatEvery)
	defer heartbeat.Stop()
	age := time.NewTicker(min(s.cfg.EpochAge, time.Minute))
	defer age.Stop()
	var err error
	for err == nil {
		select {
		case d := <-s.deliveries:
			err = z.take(z.gather(d))
		case e := <-s.events:
			err = z.append(e.fields(s.id)...)
		case connection := <-s.lost:
			err = z.forget(connection)
		case <-heartbeat.C:
			e := ledger.Event{Time: s.cfg.now().UnixMilli(), Name: ledger.Heartbeat, Detail: fmt.Sprintf("%d copies recorded since the start", s.counts.recorded.Load())}
			err = z.append(e.Append(nil, s.id))
		case <-age.C:
			z.retire()
		case <-s.draining:
			z.stop()
			return
		}
	}
	s.fail(err)
}

// end takes no more deliveries, and refuses those that wait.
func (z *sealer) end() {
	s := z.s
	close(s.sealed)
	s.budget.end()
	s.delivering.Lock() // until nobody is on the way in
	defer s.delivering.Unlock()
	for {
		select {
		case d := <-s.deliveries:
			z.refuseThese([]delivery{d}, ErrStopped)
		default:
			return
		}
	}
}

// forget drops the ordinal of a connection that is gone, once what came on it
// has been taken.
func (z *sealer) forget(connection string) error {
	for range len(z.s.deliveries) { // all that are older than the loss, in their order
		select {
		case d := <-z.s.deliveries:
			if err := z.take(z.gather(d)); err != nil {
				return err
			}
		default:
		}
	}
	delete(z.ordinals, connection)
	return nil
}

// gather takes what else is waiting, so that the disk is asked once for all.
func (z *sealer) gather(first delivery) []delivery {
	list := []delivery{first}
	copies, bytes := len(first.copies), first.bytes()
	for copies < maxCopies && bytes < maxCopyBytes {
		select {
		case d := <-z.s.deliveries:
			list = append(list, d)
			copies += len(d.copies)
			bytes += d.bytes()
			continue
		default:
		}
		break
	}
	return list
}

// take makes deliveries durable and acknowledges them.
func (z *sealer) take(list []delivery) error {
	s := z.s
	list = z.inTurn(list)
	for len(list) > 0 {
		if err := z.ready(s.cfg.now()); err != nil {
			z.refuseThese(list, err)
			return err
		}
		entries, marks, dropped, gaps, err := z.sealAll(list)
		if err != nil {
			z.refuseThese(list, err)
			return err
		}
		last, err := s.spool.Append(entries...)
		switch {
		case err == nil:
			for source, mark := range marks {
				z.marks[source] = mark
			}
			z.numbered(list)
			s.cfg.step(stepSpoolAppended)
			s.counts.gaps.Add(gaps)
			z.acknowledge(list, dropped, last)
			return z.notFull()
		case errors.Is(err, spool.ErrFull):
			if err := z.full(); err != nil {
				return err
			}
			if list = z.refuse(list); len(list) == 0 {
				return nil
			}
			if !z.waitForRoom() {
				z.refuseThese(list, ErrStopped)
				return nil
			}
		default:
			z.refuseThese(list, err)
			return err
		}
	}
	return nil
}

// sealAll seals the copies of deliveries. What cannot be appended is as if it
// had not come.
func (z *sealer) sealAll(list []delivery) (entries [][]byte, marks map[string]uint64, dropped, gaps uint64, err error) {
	s := z.s
	marks = map[string]uint64{}
	ordinals := map[string]uint64{}
	for _, d := range list {
		for i := range d.copies {
			c := &d.copies[i]
			now := s.cfg.now()
			h := seal.Header{Time: now.UnixMilli()}
			if !c.Time.IsZero() {
				h.Time = c.Time.UnixMilli()
			}
			if c.Source == "" {
				if _, ok := ordinals[d.connection]; !ok {
					ordinals[d.connection] = z.ordinals[d.connection]
				}
				ordinals[d.connection]++
				h.Source, h.Number = ledger.ConnectionPrefix+d.connection, ordinals[d.connection]
			} else {
				h.Source, h.Number = queueName(c), c.Number
				mark, ok := marks[h.Source]
				if !ok {
					mark = z.marks[h.Source]
				}
				if h.Number <= mark {
					dropped++
					continue
				}
				if h.Number > mark+1 {
					gaps++
					missing := fmt.Sprintf("%s: the numbers %d to %d were never delivered", h.Source, mark+1, h.Number-1)
					s.cfg.Log.Error("gap in delivery numbers", "source", h.Source, "from", mark+1, "to", h.Number-1)
					event := sourced{ledger.Event{Time: now.UnixMilli(), Name: ledger.Gap, Detail: missing}, h.Source}
					entries = append(entries, encode(event.fields(s.id)...))
				}
				marks[h.Source] = h.Number
			}
			h.Tokens = z.epoch.Tokens(z.participants(c)...)
			sealed, record, err := z.epoch.Seal(&h, &seal.Content{Direction: c.Direction, Stanza: c.Stanza})
			if err != nil {
				return nil, nil, 0, 0, err
			}
			z.records++
			entries = append(entries, encode(record.Append(nil, s.id), sealed))
		}
	}
	return entries, marks, dropped, gaps, nil
}

// queueName names the queue of a copy. A name that is too long is hashed, so
// that no two queues share their numbers.
func queueName(c *xmpp.Copy) string {
	name := c.Host + "/" + c.Source
	if len(ledger.QueuePrefix)+len(name) > ledger.MaxSource {
		name = fmt.Sprintf("sha256/%x", sha256.Sum256([]byte(name)))
	}
	return ledger.QueuePrefix + name
}

// participants are the bare addresses of who takes part: sender, recipient,
// room, and those of a message inside, as in a carbon (XEP-0280). A stanza that
// cannot be read to its end, or does not name its sender, has seal.Unknown
// among them, so that nobody hides by sending what is hard to read.
func (z *sealer) participants(c *xmpp.Copy) (bare []string) {
	if err := z.parsed.Parse(c.Stanza); err != nil || z.parsed.From == "" {
		bare = append(bare, seal.Unknown)
	}
	add := func(addresses ...string) {
		for _, a := range addresses {
			if a != "" {
				bare = append(bare, message.ParseJID(a).Bare)
			}
		}
	}
	for m := &z.parsed; m != nil; m = m.Forwarded {
		add(m.From, m.To)
	}
	return bare
}

// ready makes a new epoch where there is none, or the last has had its time.
// It is called before copies are sealed, never between: an epoch's records end
// where the next one's entry stands.
func (z *sealer) ready(now time.Time) error {
	if z.epoch != nil && z.records < z.s.cfg.EpochRecords && now.Sub(z.began) < z.s.cfg.EpochAge {
		return nil
	}
	return z.newEpoch(now)
}

// newEpoch makes a data key and has its wraps durable before anything is sealed
// under it.
func (z *sealer) newEpoch(now time.Time) error {
	s := z.s
	if z.epoch != nil {
		z.epoch.Forget()
		z.epoch = nil
	}
	epoch, wraps, err := seal.NewEpoch(s.id, z.number+1, s.cfg.Recipients)
	if err != nil {
		return err
	}
	s.cfg.step(stepKeyMade)
	entry := ledger.Epoch{Number: epoch.Number, Time: now.UnixMilli(), Commitment: epoch.Commitment(), Class: s.cfg.Recipients.Class(),
		Recipients: s.cfg.Recipients.Fingerprints(), Writer: s.cfg.Writer}
	if err := z.append(append([][]byte{entry.Append(nil, s.id)}, wraps...)...); err != nil {
		return err
	}
	s.cfg.step(stepWrapWritten)
	z.epoch, z.number, z.began, z.records = epoch, epoch.Number, now, 0
	return nil
}

// retire forgets the key of an epoch that has had its time, also while nothing
// comes.
func (z *sealer) retire() {
	if z.epoch != nil && z.s.cfg.now().Sub(z.began) >= z.s.cfg.EpochAge {
		z.epoch.Forget()
		z.epoch = nil
	}
}

// append puts an entry of the archive's own into the spool, which always has
// some room for these.
func (z *sealer) append(fields ...[]byte) error {
	for {
		_, err := z.s.spool.AppendUrgent(encode(fields...))
		if err == nil {
			z.s.signal(z.s.more)
			return nil
		}
		if !errors.Is(err, spool.ErrFull) {
			return err
		}
		if !z.waitForRoom() {
			return err
		}
	}
}

// inTurn refuses what comes after a copy that was refused, and returns the
// rest. A source whose connection was lost begins again with that copy.
func (z *sealer) inTurn(list []delivery) (left []delivery) {
	for _, d := range list {
		if len(d.copies) > 0 && d.copies[0].Source != "" {
			source := queueName(&d.copies[0])
			r, ok := z.refused[source]
			if ok && r.connection == d.connection && d.copies[0].Number > r.number {
				z.refuseThese([]delivery{d}, errTurn)
				continue
			}
			delete(z.refused, source)
		}
		left = append(left, d)
	}
	return left
}

var errTurn = errors.New("a copy before this one was refused")

// numbered keeps the ordinals of copies that are durable now.
func (z *sealer) numbered(list []delivery) {
	for _, d := range list {
		for _, c := range d.copies {
			if c.Source == "" {
				z.ordinals[d.connection]++
			}
		}
	}
}

func (z *sealer) acknowledge(list []delivery, dropped, last uint64) {
	s := z.s
	n := uint64(0)
	for _, d := range list {
		n += uint64(len(d.copies))
	}
	s.counts.received.Add(n)
	s.counts.recorded.Add(n - dropped)
	s.counts.redelivered.Add(dropped)
	s.counts.oldest.CompareAndSwap(0, s.cfg.now().UnixMilli())
	for _, d := range list {
		s.budget.give(d.bytes())
		d.done(nil)
	}
	s.cfg.step(stepAcknowledged)
	s.signal(s.more)
}

// full tells that nothing more is acknowledged, once.
func (z *sealer) full() error {
	if z.s.counts.full.Swap(true) {
		return nil
	}
	used, most := z.s.spool.Bytes()
	z.s.cfg.Log.Error("the spool is full: no message is acknowledged until the store takes some", "bytes", used, "most", most)
	e := ledger.Event{Time: z.s.cfg.now().UnixMilli(), Name: ledger.SpoolFull, Detail: fmt.Sprintf("%d of %d bytes", used, most)}
	_, err := z.s.spool.AppendUrgent(encode(e.Append(nil, z.s.id)))
	if errors.Is(err, spool.ErrFull) { // not even room for this: it was logged
		err = nil
	}
	return err
}

// notFull tells that it is over.
func (z *sealer) notFull() error {
	if !z.s.counts.full.Load() {
		return nil
	}
	z.s.counts.full.Store(false)
	z.s.cfg.Log.Info("the spool has room again")
	e := ledger.Event{Time: z.s.cfg.now().UnixMilli(), Name: ledger.SpoolFree}
	return z.append(e.Append(nil, z.s.id))
}

// refuse refuses those that will be sent again, and returns the others.
func (z *sealer) refuse(list []delivery) (left []delivery) {
	for _, d := range list {
		if len(d.copies) > 0 && d.copies[0].Source == "" {
			left = append(left, d)
			continue
		}
		if len(d.copies) > 0 {
			source := queueName(&d.copies[0])
			if r, ok := z.refused[source]; !ok || d.copies[0].Number < r.number {
				z.refused[source] = refusal{d.connection, d.copies[0].Number}
			}
		}
		z.refuseThese([]delivery{d}, spool.ErrFull)
	}
	return left
}

func (z *sealer) refuseThese(list []delivery, err error) {
	for _, d := range list {
		z.s.counts.refused.Add(uint64(len(d.copies)))
		z.s.budget.give(d.bytes())
		d.done(err)
	}
}

// waitForRoom waits until the spool was trimmed, or the service drains.
func (z *sealer) waitForRoom() bool {
	retry := time.NewTimer(time.Second) // the disk may have got room from elsewhere
	defer retry.Stop()
	select {
	case <-z.s.room:
		return true
	case <-retry.C:
		return true
	case <-z.s.draining:
		return false
	}
}

// stop takes what waits, and records the end.
func (z *sealer) stop() {
	s := z.s
	for s.Err() == nil {
		select {
		case d := <-s.deliveries:
			if err := z.take(z.gather(d)); err != nil {
				s.fail(err)
				return
			}
			continue
		case e := <-s.events:
			if err := z.append(e.fields(s.id)...); err != nil {
				s.fail(err)
				return
			}
			continue
		default:
		}
		break
	}
	if s.Err() == nil {
		e := ledger.Event{Time: s.cfg.now().UnixMilli(), Name: ledger.Stopped, Detail: strings.TrimSpace(s.cfg.Writer)}
		if err := z.append(e.Append(nil, s.id)); err != nil {
			s.fail(err)
		}
	}
	if z.epoch != nil {
		z.epoch.Forget()
	}
}
