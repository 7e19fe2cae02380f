// Package config reads the settings. It alone looks at the environment: everybody else is handed what they need.
//
// Each setting can be given in four places; the first that has it wins:
//
//  1. a flag: --database-url
//  2. the environment: PENNYPOST_DATABASE_URL
//  3. the file named by --config, in TOML: database_url = "…" (a key that is no setting is refused)
//  4. the default
//
// An empty value counts as given: PENNYPOST_METRICS= turns off metrics that the file turned on.
//
// Addresses are host:port. The port 0 stands for any free one, a host left out for 127.0.0.1: whoever wants to be reached
// from everywhere says so, with 0.0.0.0 or [::].
package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Config is every setting, and its manual. A field's tags are its key, its default and the line that --help shows.
type Config struct {
	// Data is the directory of everything that the server keeps: database, message bodies, keys, certificates. One server at
	// a time holds it. It is created (0700) when it does not exist. Load makes it absolute.
	Data string `key:"data" default:"./data" help:"directory of everything the server keeps"`

	// HTTP is the address of the API without TLS. That is for this machine only: another address than a loopback one is
	// refused unless TrustedProxies says who will be in front.
	HTTP string `key:"http" default:"127.0.0.1:8480" help:"address of the API without TLS, loopback unless trusted_proxies is set (empty: off)"`
	// HTTPS is the address of the same faces over TLS.
	HTTPS string `key:"https" default:"127.0.0.1:8443" help:"address of the API over TLS (empty: off)"`
	// SMTP is the address where mail from other servers arrives, with STARTTLS.
	SMTP string `key:"smtp" default:"127.0.0.1:2525" help:"address for mail from other servers (empty: off)"`
	// Submission is the address where users hand in mail, with STARTTLS, which is demanded before sign-in.
	Submission string `key:"submission" default:"127.0.0.1:2587" help:"address for users' outgoing mail, STARTTLS (empty: off)"`
	// Submissions is the same with TLS from the first byte.
	Submissions string `key:"submissions" default:"127.0.0.1:2465" help:"address for users' outgoing mail, TLS (empty: off)"`
	// IMAP is the address where users read mail, with STARTTLS, which is demanded before sign-in.
	IMAP string `key:"imap" default:"127.0.0.1:2143" help:"address for reading mail, STARTTLS (empty: off)"`
	// IMAPS is the same with TLS from the first byte.
	IMAPS string `key:"imaps" default:"127.0.0.1:2993" help:"address for reading mail, TLS (empty: off)"`
	// ManageSieve is the address where users manage the rules for their mail (RFC 5804), with STARTTLS, which is demanded before sign-in.
	ManageSieve string `key:"managesieve" default:"127.0.0.1:24190" help:"address for users' mail rules, ManageSieve, STARTTLS (empty: off)"`
	// Metrics is the address of /healthz and /metrics. It speaks plain HTTP and asks nobody who they are: keep it private.
	Metrics string `key:"metrics" default:"" help:"address of /healthz and /metrics, plain HTTP (empty: off)"`

	// Hostname is the name that the server gives itself in SMTP and IMAP greetings and in its development certificate.
	// Empty means the machine's own name.
	Hostname string `key:"hostname" default:"" help:"the server's own name (empty: the machine's)"`
	// TLSCert and TLSKey are files in PEM: a certificate with its chain, and its private key. They are read again when they
	// change. Without them the server makes a development certificate.
	TLSCert string `key:"tls_cert" default:"" help:"certificate with its chain, PEM (empty: a development certificate)"`
	TLSKey  string `key:"tls_key" default:"" help:"private key of tls_cert, PEM"`

	// ACME are the host names, separated by commas, for which certificates are ordered from a CA and renewed; "on" stands for Hostname, "off"
	// for none. The first is shown to clients that ask for no name. Nothing is sent to a CA without them.
	ACME []string `key:"acme" default:"" help:"host names to have certificates for by ACME, separated by commas; on for hostname (empty: none)"`
	// ACMEAcceptTerms says that the operator has read the CA's terms of service and accepts them.
	ACMEAcceptTerms bool `key:"acme_accept_terms" default:"false" help:"the CA's terms of service are accepted, true or false"`
	// ACMEDirectory is the URL of the CA's directory, and ACMECAFile who vouches for its host in place of the system's, PEM.
	ACMEDirectory string `key:"acme_directory" default:"https://acme-v02.api.letsencrypt.org/directory" help:"URL of the CA's ACME directory"`
	ACMECAFile    string `key:"acme_ca_file" default:"" help:"certificates, PEM, that vouch for the host of acme_directory (empty: the system's)"`
	// ACMEEmail is where the CA may write to.
	ACMEEmail string `key:"acme_email" default:"" help:"address for the CA's notices (empty: none)"`
	// ACMEKeyID and the base64url key in ACMEKeyFile bind the account to one that the CA knows.
	ACMEKeyID   string `key:"acme_eab_key_id" default:"" help:"key id of the external account, for CAs that want one"`
	ACMEKeyFile string `key:"acme_eab_key_file" default:"" help:"file with the MAC key of the external account, base64url"`
	// ACMEChallenge is how the CA sees that a name is ours: "http-01" (port 80 leads to ACMEHTTP, or a proxy passes the path on to HTTP),
	// "tls-alpn-01" (port 443 leads to HTTPS), "dns-01" (ACMEDNSProvider writes into the name's zone).
	ACMEChallenge   string `key:"acme_challenge" default:"http-01" help:"how the CA sees that a name is ours: http-01, tls-alpn-01 or dns-01"`
	ACMEHTTP        string `key:"acme_http" default:"" help:"address that answers http-01 and nothing else, such as 0.0.0.0:80 (empty: http and https alone do)"`
	ACMEDNSProvider string `key:"acme_dns_provider" default:"" help:"name of the [dns_provider.NAME] that takes the records of dns-01"`
	// ACMEDomains has certificates also for mta-sts.<domain>, autoconfig.<domain> and autodiscover.<domain> of proven domains, where they lead here.
	ACMEDomains bool `key:"acme_domains" default:"true" help:"have certificates also for the names of mail domains that lead here, if acme is on"`
	// ACMEKeepKey keeps a name's key when its certificate is renewed, as TLSA records (DANE) ask for.
	ACMEKeepKey bool `key:"acme_keep_key" default:"false" help:"renew certificates with the key they have, for TLSA records"`

	// DatabaseURL names a PostgreSQL database, postgres://user:password@host/name. Empty means SQLite in Data.
	DatabaseURL string `key:"database_url" default:"" help:"postgres://… (empty: SQLite in data)"`
	// BlobURL says where large message bodies lie: s3://bucket/prefix (with ?region=, ?endpoint= and ?path_style=true for
	// other servers than Amazon's; credentials come from the AWS environment), or empty for the folder blobs in Data.
	BlobURL string `key:"blob_url" default:"" help:"where large message bodies lie, s3://bucket/prefix (empty: blobs in data)"`
	// SecretKeyFile holds the key under which secrets are sealed in the database. Keep a copy of it apart from the database:
	// neither is of use without the other.
	SecretKeyFile string `key:"secret_key_file" default:"" help:"key that seals secrets in the database (empty: secret.key in data)"`

	// AccountID and Region go into the ARNs of organisations at their creation; an organisation keeps its own.
	AccountID string `key:"account_id" default:"000000000000" help:"account of new organisations, 12 digits"`
	Region    string `key:"region" default:"us-east-1" help:"region of new organisations"`
	// TestDomainSuffix is what follows an organisation's alias in its test domain, <alias>.awsapps.com.
	TestDomainSuffix string `key:"test_domain_suffix" default:"awsapps.com" help:"a new organisation's test domain is <alias>.<suffix>"`
	// DNSResolver is the DNS server to ask, host:port, and dns.TrustAD after it if its word on DNSSEC is good. Empty means those
	// of the system.
	DNSResolver string `key:"dns_resolver" default:"" help:"DNS server to ask, host:port, and trust-ad after it if its word on DNSSEC is good (empty: the system's)"`
	// TrustedProxies are addresses and networks, separated by commas, who may tell whose connection they bring: by a header of
	// the PROXY protocol, which they must send on mail ports, or by X-Forwarded-For or Forwarded on HTTP. They alone may use a
	// plain HTTP address that is not a loopback one.
	TrustedProxies []netip.Prefix `key:"trusted_proxies" default:"" help:"addresses or networks of proxies in front, separated by commas"`
	// AllowedNetworks are addresses and networks, separated by commas, beside the public internet, where what an organisation or
	// a table below gives as an address may lead: identity providers and the like inside the operator's own network.
	AllowedNetworks []netip.Prefix `key:"allowed_networks" default:"" help:"addresses or networks, beside the public internet, that configured endpoints may be in"`

	// Outbound is how mail for other servers leaves: "mx" brings it to the servers that its domains name in DNS, "off" refuses
	// it when it is submitted, anything else names a table [gateway.NAME] of the file, which takes all of it (a smart host).
	Outbound string `key:"outbound" default:"mx" help:"how mail leaves: mx (by DNS), off, or the name of a [gateway.NAME] that takes all"`
	// SPFInclude is the domain whose SPF record lists the addresses of the gateway that Outbound names, such as amazonses.com: the SPF
	// records that domains are asked to publish include it.
	SPFInclude string `key:"spf_include" default:"" help:"domain whose SPF record has the gateway's addresses, such as amazonses.com"`
	// OutboundNetworks are addresses and networks, separated by commas, beside the public internet, where other servers may be.
	// Who writes a message chooses its domain, and whose domain it is where its MX leads: what is listed here is open to all of them.
	OutboundNetworks []netip.Prefix `key:"outbound_networks" default:"" help:"addresses or networks, beside the public internet, that mail may be brought to"`
	// OutboundPort is where other servers are reached. Only a test has another than 25.
	OutboundPort int `key:"outbound_port" default:"25" help:"port of other servers"`
	// DMARCReports says whether domains that ask for aggregate reports of DMARC get them, on the mail that comes here in their name.
	DMARCReports bool `key:"dmarc_reports" default:"true" help:"send aggregate reports of DMARC to domains that ask for them"`
	// DKIMRotationDays is how long a DKIM key signs before the next one does, if that is in DNS. A change holds for the keys that are there.
	DKIMRotationDays int `key:"dkim_rotation_days" default:"180" help:"days after which the next DKIM key signs, 30 at least (0: never)"`

	// MTASTS is what other servers do that can't reach this one as its policy of MTA-STS says (RFC 8461), the same for all domains:
	// "testing" (report it), "enforce" (keep the mail back), "none" (nothing: the policy is withdrawn).
	MTASTS string `key:"mta_sts" default:"testing" help:"MTA-STS policy of the domains: testing, enforce or none"`
	// MTASTSMaxAge is how long other servers keep that policy, in seconds.
	MTASTSMaxAge int `key:"mta_sts_max_age" default:"604800" help:"seconds for which other servers keep the MTA-STS policy"`
	// PublicPorts are the ports by which others reach the services, where that is not the listener's own: imaps=993,submission=0, of
	// https, imap, imaps, managesieve, submission and submissions; 0 is not offered. Without a word here a listener that only this machine
	// reaches is taken to have the service's own port in front, and one that others reach its own.
	PublicPorts string `key:"public_ports" default:"" help:"ports at which others reach the services, imaps=993,submission=0 (empty: see the manual)"`

	// ARCTrusted are domains, separated by commas, that seal mail they pass on (RFC 8617) and whose word is taken that it passed DMARC
	// before: mailing lists and forwarders. A failure is then not enforced.
	ARCTrusted []string `key:"arc_trusted" default:"" help:"domains whose ARC seals are believed, separated by commas"`

	// ExemptNetworks are addresses and networks, separated by commas, that are let in like this machine: no limits of addresses, no
	// greylisting, no DNS lists. A relay that brings the mail of others belongs here, unless it tells their addresses (TrustedProxies).
	ExemptNetworks []netip.Prefix `key:"exempt_networks" default:"" help:"addresses or networks whose mail is not limited, greylisted or looked up in dns_lists"`
	// Greylisting puts off servers that were never seen: they have to come again after five minutes.
	Greylisting bool `key:"greylisting" default:"false" help:"put off servers that were never seen, true or false"`
	// DNSLists are zones that list addresses (RFC 5782), separated by commas, each with what becomes of the mail of those who are there:
	// "zen.spamhaus.org=reject", "bl.example.net=junk".
	DNSLists []string `key:"dns_lists" default:"" help:"DNS lists to ask about clients, separated by commas: zone=reject or zone=junk"`

	// SpamFilter judges mail from other servers by what users move into and out of Junk E-mail, or as rspamd says.
	SpamFilter bool `key:"spam_filter" default:"true" help:"learn from what users move to and from Junk E-mail, and sort new mail by it"`
	// Rspamd is the URL of a worker of rspamd that checks mail; its word then is the filter's. RspamdController is the URL of the worker
	// that learns what users move to and from Junk E-mail, and RspamdPasswordFile holds its password.
	Rspamd             string `key:"rspamd" default:"" help:"rspamd to ask about mail from other servers, http://127.0.0.1:11333 (empty: none)"`
	RspamdController   string `key:"rspamd_controller" default:"" help:"rspamd's controller that learns what users call spam, http://127.0.0.1:11334 (empty: none)"`
	RspamdPasswordFile string `key:"rspamd_password_file" default:"" help:"file with the password of rspamd's controller"`
	// RspamdReject is what becomes of mail for which rspamd's action is reject: "junk" or "refuse".
	RspamdReject string `key:"rspamd_reject" default:"junk" help:"what rspamd's action reject does: junk or refuse"`
	// Clamd is where clamd listens: unix:/path, or host:port. ClamdDown is what becomes of mail while it is down: "defer" or "accept".
	Clamd     string `key:"clamd" default:"" help:"clamd to look for viruses, unix:/run/clamav/clamd.ctl or host:port (empty: none)"`
	ClamdDown string `key:"clamd_down" default:"defer" help:"what becomes of mail while clamd is down: defer or accept"`
	// BlockedAttachments are extensions of file names, separated by commas, that attachments can't have; "workmail" stands for those that
	// WorkMail does not send. BlockedAttachmentsFrom is "users", for what they submit, or "all", for mail from other servers too.
	BlockedAttachments     []string `key:"blocked_attachments" default:"workmail" help:"extensions of attachments that are refused, separated by commas (workmail: its list; empty: none)"`
	BlockedAttachmentsFrom string   `key:"blocked_attachments_from" default:"users" help:"whose attachments are looked at: users or all"`

	// PasswordMemoryKiB and PasswordPasses are the cost of a password hash (argon2id, RFC 9106). The defaults are also the
	// least allowed; a stored hash of another cost is renewed when its user signs in.
	PasswordMemoryKiB int `key:"password_memory_kib" default:"19456" help:"memory of a password hash in KiB, 19456 at least"`
	PasswordPasses    int `key:"password_passes" default:"2" help:"passes of a password hash, 2 at least"`

	// RecoverableDays is how long mail that a retention policy deleted can be recovered. A change holds for what is deleted later.
	RecoverableDays int `key:"recoverable_days" default:"30" help:"days for which mail deleted by a retention policy can be recovered"`

	// DirectorySeconds is the pause between two looks at what changed in an external directory. Sessions of users who are gone
	// there end by then; who signs in is asked about at once.
	DirectorySeconds int `key:"directory_seconds" default:"60" help:"seconds between two looks at what changed in external directories"`

	// The limits below are WorkMail's own. Those that bound one request, entity or message must be 1 or more, but
	// for LimitAttachments.
	LimitAliases int `key:"limit_aliases" default:"100" help:"aliases of a user, group or resource"`
	LimitDomains int `key:"limit_domains" default:"1000" help:"mail domains of an organization"`
	LimitTags    int `key:"limit_tags" default:"50" help:"tags of an organization"`
	// LimitAvailability has no published counterpart in WorkMail.
	LimitAvailability int `key:"limit_availability" default:"100" help:"availability configurations of an organization"`
	LimitMailboxMB    int `key:"limit_mailbox_mb" default:"51200" help:"size of a new mailbox, and the largest quota, in MB"`
	LimitMessageMB    int `key:"limit_message_mb" default:"40" help:"largest message in MB, up to 1024"`
	LimitRecipients   int `key:"limit_recipients" default:"500" help:"recipients of a message"`
	// LimitAttachments holds for mail from other servers and what users submit. What brings messages from elsewhere is not held to it.
	LimitAttachments int `key:"limit_attachments" default:"500" help:"attachments of a message, up to 5000 (0: no limit)"`
	// Those on the outbound queue have no published counterpart in WorkMail. 0 means no limit.
	LimitQueueMessages int `key:"limit_queue_messages" default:"100000" help:"messages of an organization that may wait for other servers (0: no limit)"`
	LimitQueueMB       int `key:"limit_queue_mb" default:"10240" help:"size of an organization's messages that may wait for other servers, and of those that are kept for its functions, in MB (0: no limit)"`
	// Those that bound the business are off unless they are set: 0 means no limit.
	LimitOrganizations int `key:"limit_organizations" default:"0" help:"organizations of the server (0: no limit; WorkMail's is 100)"`
	LimitUsers         int `key:"limit_users" default:"0" help:"users of an organization (0: no limit; WorkMail's is 1000)"`

	// These count the recipients of what users submit, in days of UTC's calendar, from the moment they are set. An account is
	// all organisations that have it; external is who is not of the sender's organisation.
	LimitDailyUserExternal    int `key:"limit_daily_user_external" default:"0" help:"external recipients of a user a day (0: no limit; WorkMail's is 10000)"`
	LimitDailyAccountExternal int `key:"limit_daily_account_external" default:"0" help:"external recipients of an account a day (0: no limit; WorkMail's is 100000)"`
	LimitDailyAccountTest     int `key:"limit_daily_account_test" default:"0" help:"recipients of an account a day from test domains (0: no limit; WorkMail's is 200)"`

	// These hold the clients of smtp to what other servers need: an address, an IPv6 /64. 0 means no limit. Who comes from this machine or
	// ExemptNetworks is not held to any.
	LimitAddressConnections int `key:"limit_address_connections" default:"20" help:"connections of an address to smtp at once (0: no limit)"`
	LimitAddressConnects    int `key:"limit_address_connects" default:"120" help:"new connections of an address to smtp a minute (0: no limit)"`
	LimitAddressMessages    int `key:"limit_address_messages" default:"300" help:"messages of an address to smtp a minute (0: no limit)"`
	LimitAddressRecipients  int `key:"limit_address_recipients" default:"1000" help:"recipients of an address to smtp a minute (0: no limit)"`
	// These hold the users of submission, wherever they are.
	LimitUserMessages   int `key:"limit_user_messages" default:"0" help:"messages that a user submits a minute (0: no limit)"`
	LimitUserRecipients int `key:"limit_user_recipients" default:"0" help:"recipients of what a user submits a minute (0: no limit)"`

	// AuditRetentionDays is how long the audit trail is kept.
	AuditRetentionDays int `key:"audit_retention_days" default:"365" help:"days that the audit trail is kept"`

	// Traces is the URL of an OpenTelemetry collector that is told of the way of each message, by OTLP/HTTP: http://127.0.0.1:4318, to which
	// /v1/traces is added. Where it is empty, OpenTelemetry's own variables count: OTEL_EXPORTER_OTLP_ENDPOINT, …_TRACES_ENDPOINT, …_HEADERS,
	// …_TRACES_HEADERS, OTEL_SERVICE_NAME, OTEL_TRACES_EXPORTER and OTEL_SDK_DISABLED.
	Traces string `key:"traces" default:"" help:"OpenTelemetry collector for traces, http://127.0.0.1:4318 (empty: OTEL_EXPORTER_OTLP_ENDPOINT)"`

	// The tables below stand in the file alone.

	// IdentityCenter is the OpenID Connect provider of each Identity Center instance, by the instance's ARN.
	IdentityCenter map[string]IdentityCenter `key:"-" table:"identity_center"`

	// ExportBuckets are the buckets that mailboxes may be exported to, by the name that StartMailboxExportJob gives: tables
	// [export_bucket.NAME] of the file.
	ExportBuckets map[string]ExportBucket `key:"-" table:"export_bucket"`

	// LogGroups are where records of mail and audit logs go, by the ARN that PutEmailMonitoringConfiguration names:
	//
	//	[log_group."arn:aws:logs:us-east-1:000000000000:log-group:/mail/events:*"]
	//	kind = "file"
	//	path = "/var/log/pennypost/events.jsonl"
	LogGroups map[string]LogGroup `key:"-" table:"log_group"`

	// Functions are what is called in the place of Lambda functions, by the ARN that organisations give.
	Functions map[string]Function `key:"-" table:"function"`

	// Gateways are servers that take mail for others, by the name that Outbound gives.
	Gateways map[string]Gateway `key:"-" table:"gateway"`

	// RelayUnknown says, while a domain moves here, which gateway takes its mail for those who are not here yet, by the domain:
	//
	//	[relay_unknown]
	//	"example.com" = "old"
	RelayUnknown map[string]string `key:"-" table:"relay_unknown"`

	// SESInbound are the buckets into which receipt rules of Amazon SES put mail for this server, by a name.
	SESInbound map[string]SESInbound `key:"-" table:"ses_inbound"`

	// DNSProviders are who takes DNS records, from pennypost domain publish by the name that it gives, and those of ACMEDNSProvider.
	DNSProviders map[string]DNSProvider `key:"-" table:"dns_provider"`

	// Directory is the LDAP server or Active Directory behind each DirectoryId that an organisation may be created with.
	Directory map[string]Directory `key:"-" table:"directory"`

	// Collector is what Traces, and OpenTelemetry's variables, come to.
	Collector Collector `key:"-"`

	// Origin says where each setting's value came from, by key: "--http", "PENNYPOST_HTTP", "http in FILE", "the default".
	Origin map[string]string `key:"-"`
}

// ExportBucket says where exports to a bucket go.
type ExportBucket struct {
	// URL is s3://bucket/prefix, with the parameters of blob_url (region, endpoint, path_style), or file:///directory for a
	// directory that stands for the bucket; it must exist. The endpoint may lie in a private network.
	URL string `toml:"url"`
	// AccessKeyID and the key in SecretAccessKeyFile sign the requests to S3. Without them the AWS environment does.
	AccessKeyID         string `toml:"access_key_id"`
	SecretAccessKeyFile string `toml:"secret_access_key_file"`
	// Encryption is kms (the default): S3 is asked to encrypt under the KmsKeyArn of the job; or none, for stores without keys.
	Encryption string `toml:"encryption"`
	// Organizations are the ids of those that may export to the bucket. Left out, all may.
	Organizations []string `toml:"organizations"`
	// Functions lets functions of mail flow rules of all organizations put messages by way of it; those of Organizations may anyhow.
	Functions bool `toml:"functions"`
}

// Function is an HTTPS endpoint that is called in the place of a Lambda function: [function."arn:aws:lambda:…"].
type Function struct {
	// URL is where the event is sent to by POST, as JSON; https only.
	URL string `toml:"url"`
	// CAFile holds the certificates, in PEM, that sign the endpoint's. Empty means the system's.
	CAFile string `toml:"ca_file"`
	// SecretFile holds a secret that is sent as "Authorization: Bearer …", by which the endpoint knows the server. It is read
	// at the start; space around it doesn't count. Empty means that none is sent.
	SecretFile string `toml:"secret_file"`
}

// DNSList is one of DNSLists.
type DNSList struct {
	Zone   string
	Reject bool // otherwise mail goes to Junk E-mail
}

// ReadDNSLists reads DNSLists.
func (c *Config) ReadDNSLists() (lists []DNSList, err error) {
	for _, text := range c.DNSLists {
		zone, action, _ := strings.Cut(text, "=")
		if !isHostname(zone) || !strings.Contains(zone, ".") || action != "reject" && action != "junk" {
			return nil, fmt.Errorf("%q is not of the form zone=reject or zone=junk", text)
		}
		lists = append(lists, DNSList{zone, action == "reject"})
	}
	return lists, nil
}

// SecretKeyPath is the file of the key that seals secrets.
func (c *Config) SecretKeyPath() string {
	if c.SecretKeyFile != "" {
		return c.SecretKeyFile
	}
	return filepath.Join(c.Data, "secret.key")
}

// MaxMessage is the largest message in bytes.
func (c *Config) MaxMessage() int64 { return int64(c.LimitMessageMB) << 20 }

// Setting describes one setting for flags, help and documents.
type Setting struct {
	Key     string // as in the file: database_url
	Flag    string // without dashes: database-url
	Env     string // PENNYPOST_DATABASE_URL
	Default string
	Help    string
}
