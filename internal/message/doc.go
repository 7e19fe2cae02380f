// Package message reads mail as it really comes: it finds the parts of a message by offset, its header fields, addresses,
// dates and texts, and never fails. Whatever is malformed has a reading, and each reading takes time linear in its input.
//
// Scan makes the table of parts of a message (Structure) in one pass, ParseEnvelope the fields that lists of messages show.
// Both have a compact binary form, so that a store keeps them beside the message and a reader of BODY[1.2] or ENVELOPE
// touches the bytes it needs and no others.
//
// Offsets are into the message's bytes as they were scanned. A store that puts lines of its own before a message
// (Return-Path, Delivered-To) keeps them apart as a prefix: of all sections only the whole message and its top header begin
// with it, and all other offsets stay true.
package message
