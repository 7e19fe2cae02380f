package policy

import (
	"context"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

// Device is a mobile device as it tells of itself. An empty text is a property that it does not report.
type Device struct {
	ID              string // letters and digits, without case
	Type            string // "iPhone"
	Model           string // "iPhone10C1"
	OperatingSystem string // "iOS 12.3.1 16F203"
	UserAgent       string
}

// DeviceEffect says whether a device may synchronise, and why.
type DeviceEffect struct {
	Allow bool
	// Override says that an override of the user's device decided, not the rules.
	Override bool
	// Rules are those that decided: all that match and deny, else all that match and allow. Without any the device is blocked.
	Rules []MobileRule
}

// unreported is the value of a condition that matches a property which the device does not report.
const unreported = "$NONE"

// matches reports whether all conditions hold for the device.
func (c *MobileConditions) matches(d Device) bool {
	return isOneOf(d.Type, c.Types, c.NotTypes) && isOneOf(d.Model, c.Models, c.NotModels) &&
		isOneOf(d.OperatingSystem, c.OperatingSystems, c.NotOperatingSystems) &&
		isOneOf(d.UserAgent, c.UserAgents, c.NotUserAgents)
}

// isOneOf reports whether a property begins with one of the values and with none of the others, without case. An empty list
// is no condition; a property that is not reported is one of those values that are unreported, and never none of the others.
func isOneOf(property string, values, others []string) bool {
	if property == "" {
		return (len(values) == 0 || slices.Contains(values, unreported)) && len(others) == 0
	}
	property = directory.Fold(property)
	begins := func(value string) bool { return strings.HasPrefix(property, directory.Fold(value)) }
	return (len(values) == 0 || slices.ContainsFunc(values, begins)) && !slices.ContainsFunc(others, begins)
}

// DeviceEffectTx decides whether a user's device may synchronise: by the override for the two where there is one, else by the
// organisation's rules, of which all that match are asked and one that denies wins. A device that no rule matches is blocked.
// A nil user asks the rules alone.
func (s *Service) DeviceEffectTx(ctx context.Context, tx *db.Tx, o *directory.Organization, user *directory.Entity, d Device) (DeviceEffect, error) {
	if user != nil {
		override, err := overrideTx(ctx, tx, user, d.ID)
		if err == nil {
			return DeviceEffect{Allow: override.Allow, Override: true}, nil
		}
		if fault.KindOf(err) != fault.NotFound {
			return DeviceEffect{}, err
		}
	}
	rules, err := mobileRulesTx(ctx, tx, o)
	return decideDevice(rules, d), err
}

func decideDevice(rules []MobileRule, d Device) DeviceEffect {
	var allowing, denying []MobileRule
	for _, r := range rules {
		switch {
		case !r.Conditions.matches(d):
		case r.Allow:
			allowing = append(allowing, r)
		default:
			denying = append(denying, r)
		}
	}
	if len(denying) > 0 {
		return DeviceEffect{Rules: denying}
	}
	return DeviceEffect{Allow: len(allowing) > 0, Rules: allowing}
}

// DeviceEffect tells what DeviceEffectTx would decide by the rules alone.
func (s *Service) DeviceEffect(ctx context.Context, p principal.Principal, org directory.OrgID, d Device) (effect DeviceEffect, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		effect, err = s.DeviceEffectTx(ctx, tx, o, nil, d)
		return err
	})
	return effect, err
}
