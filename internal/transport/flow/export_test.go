package flow

// Keeps reports whether an organisation's rules are in memory.
func (s *Service) Keeps(d Direction, org int64) bool {
	_, missing, _ := s.memory.known(d, []int64{org})
	return len(missing) == 0
}
