package main

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/figure"
)

// searchLoads look for the needles in the large mailbox, and for what is unseen, which is all of it.
func searchLoads() []load {
	var list []load
	for _, s := range []struct {
		name, key string
		all       bool
	}{
		{name: "search-subject", key: "SUBJECT " + drive.Needle},
		{name: "search-text", key: "TEXT " + drive.Needle},
		{name: "search-unseen", key: "UNSEEN", all: true},
	} {
		list = append(list, load{name: s.name, large: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			want := (b.scale.mailbox + drive.RareEvery - 1) / drive.RareEvery
			if s.all {
				want = b.scale.mailbox
			}
			return search(ctx, b, t, round, s.name, s.key, want)
		}})
	}
	return list
}

func search(ctx context.Context, b *bench, t *target, round int, name, key string, want int) error {
	out, err := drive.Closed(ctx, 1, b.scale.search, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		m, err := openLarge(ctx, b, t)
		return session{m, func(int) string { return "UID SEARCH " + key }, func(r drive.Reply) error {
			if r.Numbers != want {
				return fmt.Errorf("%d messages were found of %d", r.Numbers, want)
			}
			return nil
		}}, err
	})
	if err != nil {
		return err
	}
	if out.Failed > 0 {
		return fmt.Errorf("%d searches failed; the first: %w", out.Failed, out.FirstFail)
	}
	b.add(round, t.Name(), took(sectionIMAP, name, "ms, median"), milliseconds(figure.Percentile(out.Latencies, 0.5)))
	return nil
}
