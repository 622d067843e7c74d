package capture

import "sync"

// budget bounds the bytes that wait.
type budget struct {
	mu    sync.Mutex
	free  *sync.Cond
	most  int
	used  int
	ended bool
}

func newBudget(most int) *budget {
	b := &budget{most: most}
	b.free = sync.NewCond(&b.mu)
	return b
}

// take waits until n bytes fit. Where nothing else waits any number does. It
// tells whether the budget has not ended.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used > 0 && b.used+n > b.most && !b.ended {
		b.free.Wait()
	}
	if b.ended {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.free.Broadcast()
}

// end lets everybody go who waits.
func (b *budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.free.Broadcast()
}
