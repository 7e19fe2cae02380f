package awsapi_test

import (
	"encoding/json"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
)

const (
	noConsole = "only the service's own console sets it, and there is none here yet"
	mirrored  = "external directories are mirrored: what only reads does not ask them"
	noAddress = "the operation takes no address and derives none from a new name"
)

// neverFilled are output members that nothing fills yet, with the reason.
var neverFilled = map[string]string{
	"DescribeOrganizationOutput.MigrationAdmin": noConsole,
}

// neverRaised are exceptions that an operation lists and this server has no cause for, with the reason.
var neverRaised = map[string]string{
	"DescribeUser DirectoryServiceAuthenticationFailedException":  mirrored,
	"DescribeUser DirectoryUnavailableException":                  mirrored,
	"UpdateImpersonationRole LimitExceededException":              "its one limit, ten rules, is a constraint of the input",
	"UpdateResource EmailAddressInUseException":                   noAddress,
	"UpdateResource MailDomainNotFoundException":                  noAddress,
	"UpdateResource MailDomainStateException":                     noAddress,
	"ListGroups EntityNotFoundException":                          "the operation names no entity",
	"DeregisterMailDomain InvalidCustomSesConfigurationException": "there is no Amazon SES behind this server",
}

// everythingWasSeen fails for an operation that never succeeded, an output member that was never filled and a listed
// exception that was never met.
func (w *world) everythingWasSeen() {
	w.t.Helper()
	filled, raised, succeeded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	outputs := map[string]*contract.Op{}
	for _, h := range w.api.Handlers() {
		outputs[h.Op.Name] = h.Op
	}
	for _, e := range w.seen {
		if e.status != 200 {
			raised[e.operation+" "+e.code] = true
			continue
		}
		succeeded[e.operation] = true
		if e.operation == contract.GetRawMessageContent.Op.Name { // whose answer is a message
			filled["GetRawMessageContentOutput.messageContent"] = len(e.body) > 0
			continue
		}
		var body any
		if err := json.Unmarshal(e.body, &body); err != nil {
			w.t.Fatalf("%s answered %s: %v", e.operation, e.body, err)
		}
		fill(filled, e.operation+"Output", outputs[e.operation].Output, body)
	}
	for _, h := range w.api.Handlers() {
		if !succeeded[h.Op.Name] {
			w.t.Errorf("%s never succeeded", h.Op.Name)
		}
		for _, path := range paths(h.Op.Name+"Output", h.Op.Output) {
			if _, excused := neverFilled[path]; filled[path] == excused {
				w.t.Errorf("%s: filled %t, excused %t", path, filled[path], excused)
			}
		}
		for _, code := range h.Op.Errors {
			key := h.Op.Name + " " + string(code)
			if _, excused := neverRaised[key]; raised[key] == excused {
				w.t.Errorf("%s: met %t, excused %t", key, raised[key], excused)
			}
		}
	}
}

// paths lists the members of a shape, also those inside lists and structures.
func paths(path string, shape *schema.Shape) []string {
	switch shape.Type {
	case schema.Structure:
		var all []string
		for _, m := range shape.Members {
			all = append(all, paths(path+"."+m.Name, m.Shape)...)
		}
		return all
	case schema.List:
		return paths(path, shape.Element)
	default:
		return []string{path}
	}
}

// fill notes the members in a document that say something: an absent, empty, false or zero one does not.
func fill(filled map[string]bool, path string, shape *schema.Shape, value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, m := range shape.Members {
			fill(filled, path+"."+m.Name, m.Shape, v[m.Name])
		}
	case []any:
		for _, element := range v {
			fill(filled, path, shape.Element, element)
		}
	default:
		if v != nil && v != "" && v != false && v != 0.0 {
			filled[path] = true
		}
	}
}
