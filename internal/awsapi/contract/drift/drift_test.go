package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

// dataDir finds the pinned botocore: the directory named in PENNYPOST_BOTOCORE_MODEL, or the one in the environment that
// "make test" keeps in .cache/venv. Its absence is a failure, so that the comparison can't fall asleep.
func dataDir(t *testing.T) string {
	if dir := os.Getenv("PENNYPOST_BOTOCORE_MODEL"); dir != "" {
		return dir
	}
	found, err := filepath.Glob("../../../../.cache/venv/lib/python3*/site-packages/botocore/data")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("there is no botocore to compare with: run scripts/setup-test, or name its data directory in PENNYPOST_BOTOCORE_MODEL")
	}
	return found[0]
}

func TestTheContractIsThePinnedModel(t *testing.T) {
	differences, err := compareWith(dataDir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// TestOurOwnModelIsTheContract holds the model that is published in docs against the contract, as the others are.
func TestOurOwnModelIsTheContract(t *testing.T) {
	model, err := read("../../../../docs/models/pennypost/2026-11-25/service-2.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range compare(contract.Pennypost, model) {
		t.Error(d)
	}
}

// TestEveryEditIsNoticed edits a model in every way the comparison must see.
func TestEveryEditIsNoticed(t *testing.T) {
	path := filepath.Join(dataDir(t), modelPaths[contract.WorkMail])
	for name, c := range map[string]struct {
		edit func(object)
		want string
	}{
		"an operation goes": {
			func(m object) { delete(dig(m, "operations"), "CreateUser") },
			"CreateUser: the contract has an operation, the model none",
		},
		"an operation comes": {
			func(m object) { dig(m, "operations")["Dance"] = object{} },
			"Dance: the contract has none, the model an operation",
		},
		"an error goes": {
			func(m object) { op := dig(dig(m, "operations"), "ListOrganizations"); op["errors"] = []any{} },
			"ListOrganizations errors: the contract has [InvalidParameterException], the model []",
		},
		"the flag goes": {
			func(m object) { dig(dig(m, "operations"), "CreateUser")["idempotent"] = false },
			"CreateUser idempotent: the contract has true, the model false",
		},
		"a status comes": {
			func(m object) {
				dig(dig(m, "shapes"), "EntityNotFoundException")["error"] = object{"httpStatusCode": 404.0}
			},
			"EntityNotFoundException status: the contract has 400, the model 404",
		},
		"a member comes": {func(m object) {
			dig(dig(dig(m, "shapes"), "CreateUserRequest"), "members")["Shoe"] = object{"shape": "String"}
		}, "CreateUserRequest.Shoe: the contract has none, the model a member"},
		"a member goes": {
			func(m object) { delete(dig(dig(dig(m, "shapes"), "CreateUserRequest"), "members"), "Password") },
			"CreateUserRequest.Password: the contract has a member, the model none",
		},
		"a member is required": {func(m object) {
			s := dig(dig(m, "shapes"), "CreateUserRequest")
			s["required"] = append(items(s, "required"), "Password")
		}, "CreateUserRequest.Password required: the contract has false, the model true"},
		"a member changes its shape": {func(m object) {
			dig(dig(dig(dig(m, "shapes"), "CreateUserRequest"), "members"), "Name")["shape"] = "String"
		}, "CreateUserRequest.Name shape: the contract has UserName, the model String"},
		"a token goes": {func(m object) {
			delete(dig(dig(dig(dig(m, "shapes"), "CreateOrganizationRequest"), "members"), "ClientToken"), "idempotencyToken")
		}, "CreateOrganizationRequest.ClientToken idempotency token: the contract has true, the model false"},
		"a member moves into a header": {func(m object) {
			dig(dig(dig(dig(m, "shapes"), "CreateUserRequest"), "members"), "Name")["location"] = "header"
		}, "CreateUserRequest.Name location: the contract has , the model header"},
		"an output becomes bytes": {
			func(m object) { dig(dig(m, "shapes"), "CreateUserResponse")["payload"] = "UserId" },
			"CreateUserResponse payload: the contract has , the model UserId",
		},
		"a bound moves": {func(m object) { dig(dig(m, "shapes"), "UserName")["max"] = 65.0 }, "UserName max: the contract has 64, the model 65"},
		"a bound goes":  {func(m object) { delete(dig(dig(m, "shapes"), "UserName"), "min") }, "UserName min: the contract has 1, the model none"},
		"a pattern changes": {
			func(m object) { dig(dig(m, "shapes"), "OrganizationId")["pattern"] = ".*" },
			"OrganizationId pattern: the contract has ^m-[0-9a-f]{32}$, the model .*",
		},
		"a value comes": {
			func(m object) {
				s := dig(dig(m, "shapes"), "EntityState")
				s["enum"] = append(items(s, "enum"), "ASLEEP")
			},
			"EntityState enum: the contract has [ENABLED DISABLED DELETED], the model [ENABLED DISABLED DELETED ASLEEP]",
		},
		"a secret is told": {
			func(m object) { delete(dig(dig(m, "shapes"), "Password"), "sensitive") },
			"Password sensitive: the contract has true, the model false",
		},
		"a trait comes": {
			func(m object) { dig(dig(m, "shapes"), "Password")["xmlName"] = "p" },
			"Password: the contract has no place for xmlName, the model p",
		},
		"the element changes": {
			func(m object) { dig(dig(dig(m, "shapes"), "Aliases"), "member")["shape"] = "String" },
			"Aliases element shape: the contract has EmailAddress, the model String",
		},
		"the target changes": {
			func(m object) { dig(m, "metadata")["targetPrefix"] = "Mail" },
			"target prefix: the contract has WorkMailService., the model Mail.",
		},
		"an idle shape comes": {
			func(m object) { dig(m, "shapes")["Idle"] = object{"type": "string"} },
			"Idle: the contract has no use for it, the model a shape",
		},
	} {
		model, err := read(path)
		if err != nil {
			t.Fatal(err)
		}
		c.edit(model)
		got := compare(contract.WorkMail, model)
		if !slices.ContainsFunc(got, func(d string) bool { return strings.HasSuffix(d, c.want) }) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
