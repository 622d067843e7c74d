// Package message holds what all of Archivolt talks about: a message as a
// reader of archives sees it, addresses, and filters. It is pure.
//
// The words, as this project uses them:
//
//   - A row is one stored row of a foreign archive.
//   - A copy is one of several rows of the same message: sent and received,
//     one for each client, one for each occupant of a room.
//   - An utterance is the message once, however many copies there are.
//   - A replay is a row that a server pushed again, as a room's history to a
//     newcomer. It is evidence of what somebody saw, never an utterance.
//   - An epoch is the life of one key of the archive.
package message
