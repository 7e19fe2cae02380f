package wire

// Command is one command of a client.
type Command struct {
	Tag string
	// Name is the command's name in capitals, "UID FETCH" with the UID, for logs and for the tagged answer.
	Name string
	// Args is one of the types of this package that say so: Capability, Noop, Login, Fetch …
	Args Args
}

// Args is what follows the name of a command.
type Args interface{ args() }

// The commands without arguments.
type (
	Capability struct{} // RFC 3501 section 6.1.1
	Noop       struct{} // RFC 3501 section 6.1.2
	Logout     struct{} // RFC 3501 section 6.1.3
	StartTLS   struct{} // RFC 3501 section 6.2.1
	Namespace  struct{} // RFC 2342
	Check      struct{} // RFC 3501 section 6.4.1
	Close      struct{} // RFC 3501 section 6.4.2
	Unselect   struct{} // RFC 3691
	Idle       struct{} // RFC 2177
)

func (Capability) args() {}
func (Noop) args()       {}
func (Logout) args()     {}
func (StartTLS) args()   {}
func (Namespace) args()  {}
func (Check) args()      {}
func (Close) args()      {}
func (Unselect) args()   {}
func (Idle) args()       {}

// parser says how the arguments of each command are read. The space behind the name is theirs to read.
func parser(name string) func(r *Reader) Args {
	switch name {
	case "CAPABILITY":
		return bare(Capability{})
	case "NOOP":
		return bare(Noop{})
	case "LOGOUT":
		return bare(Logout{})
	case "STARTTLS":
		return bare(StartTLS{})
	case "NAMESPACE":
		return bare(Namespace{})
	case "CHECK":
		return bare(Check{})
	case "CLOSE":
		return bare(Close{})
	case "UNSELECT":
		return bare(Unselect{})
	case "IDLE":
		return bare(Idle{})
	case "ID":
		return (*Reader).id
	case "ENABLE":
		return (*Reader).enable
	case "AUTHENTICATE":
		return (*Reader).authenticate
	case "LOGIN":
		return (*Reader).login
	case "SELECT":
		return func(r *Reader) Args { return r.selectArgs(false) }
	case "EXAMINE":
		return func(r *Reader) Args { return r.selectArgs(true) }
	case "CREATE":
		return (*Reader).create
	case "DELETE":
		return func(r *Reader) Args { return Delete{r.oneMailbox()} }
	case "RENAME":
		return (*Reader).rename
	case "SUBSCRIBE":
		return func(r *Reader) Args { return Subscribe{r.oneMailbox()} }
	case "UNSUBSCRIBE":
		return func(r *Reader) Args { return Unsubscribe{r.oneMailbox()} }
	case "LIST":
		return (*Reader).listArgs
	case "LSUB":
		return (*Reader).lsub
	case "STATUS":
		return (*Reader).status
	case "APPEND":
		return (*Reader).appendArgs
	case "GETQUOTA":
		return (*Reader).getQuota
	case "GETQUOTAROOT":
		return func(r *Reader) Args { return GetQuotaRoot{r.oneMailbox()} }
	case "SETQUOTA":
		return (*Reader).setQuota
	case "EXPUNGE":
		return bare(Expunge{})
	case "SEARCH":
		return func(r *Reader) Args { return r.search(false) }
	case "FETCH":
		return func(r *Reader) Args { return r.fetch(false) }
	case "STORE":
		return func(r *Reader) Args { return r.store(false) }
	case "COPY":
		return func(r *Reader) Args { set, to := r.setAndMailbox(); return Copy{Set: set, Mailbox: to} }
	case "MOVE":
		return func(r *Reader) Args { set, to := r.setAndMailbox(); return Move{Set: set, Mailbox: to} }
	case "UID EXPUNGE":
		return (*Reader).uidExpunge
	case "UID SEARCH":
		return func(r *Reader) Args { return r.search(true) }
	case "UID FETCH":
		return func(r *Reader) Args { return r.fetch(true) }
	case "UID STORE":
		return func(r *Reader) Args { return r.store(true) }
	case "UID COPY":
		return func(r *Reader) Args { set, to := r.setAndMailbox(); return Copy{UID: true, Set: set, Mailbox: to} }
	case "UID MOVE":
		return func(r *Reader) Args { set, to := r.setAndMailbox(); return Move{UID: true, Set: set, Mailbox: to} }
	}
	return nil
}

func bare(a Args) func(*Reader) Args { return func(*Reader) Args { return a } }

// command reads the name and the arguments of a command.
func (r *Reader) command(cmd *Command) {
	r.space()
	name := r.atom("a command name")
	if name == "UID" {
		r.space()
		name = "UID " + r.atom("a command name behind UID")
	}
	if r.err != nil {
		return
	}
	parse := parser(name)
	if parse == nil {
		r.fail("the command is not known")
		return
	}
	cmd.Name = name
	if r.limits.NoSecrets && (name == "LOGIN" || name == "AUTHENTICATE") {
		r.refuse("PRIVACYREQUIRED", "protect the connection by STARTTLS first")
		return
	}
	cmd.Args = parse(r)
	if r.streamed == nil {
		r.end()
	}
}
