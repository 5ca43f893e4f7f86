package compile

import (
	"cmp"
	"fmt"

	"github.com/google/uuid"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

// itemIDs is the namespace of the item ids of Webhooks that have none of their own
// (RFC 9562, 5.5). It is a promise: receivers know Webhooks by these ids.
var itemIDs = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("webhooks.postrider.dev"))

// payload returns how the bodies of o are written.
func (v *Verdict) payload(o *v1alpha1.Webhook) (route.Format, *route.Sitecore) {
	p := o.Spec.Payload
	if p == nil {
		p = &v1alpha1.Payload{}
	}
	format := p.Format
	if format == "" && o.Spec.Type != v1alpha1.WebhookEventHandler {
		format = v1alpha1.PayloadSitecore
	}
	if format != v1alpha1.PayloadSitecore {
		v.refuseSitecore(p)
	}
	switch format {
	case "": // so that a table is the same with the default and without
		return "", nil
	case v1alpha1.PayloadStandard:
		return route.FormatStandard, nil
	case v1alpha1.PayloadCloudEvents:
		return route.FormatCloudEvents, nil
	case v1alpha1.PayloadSitecore:
		return route.FormatSitecore, v.sitecore(o, p)
	default:
		v.reject(v1alpha1.ReasonInvalidPayload, "spec.payload.format", fmt.Sprintf("%q is unknown to this version; use Standard, CloudEvents or Sitecore", format))
		return "", nil
	}
}

// refuseSitecore rejects what only the format Sitecore has.
func (v *Verdict) refuseSitecore(p *v1alpha1.Payload) {
	switch p.Serialization {
	case "", v1alpha1.SerializationJSON:
	default:
		v.reject(v1alpha1.ReasonInvalidPayload, "spec.payload.serialization", fmt.Sprintf("%s is for the format Sitecore; use JSON, or set spec.payload.format to Sitecore", p.Serialization))
	}
	if p.Sitecore != nil {
		v.reject(v1alpha1.ReasonInvalidPayload, "spec.payload.sitecore", "it is for the format Sitecore; remove it, or set spec.payload.format to Sitecore")
	}
}

func (v *Verdict) sitecore(o *v1alpha1.Webhook, p *v1alpha1.Payload) *route.Sitecore {
	s := &route.Sitecore{
		XML:     p.Serialization == v1alpha1.SerializationXML,
		Action:  o.Spec.Type != v1alpha1.WebhookEventHandler,
		AtState: o.Spec.Workflow != nil && len(o.Spec.Workflow.States) > 0,
	}
	if p.Serialization != "" && p.Serialization != v1alpha1.SerializationJSON && !s.XML {
		v.reject(v1alpha1.ReasonInvalidPayload, "spec.payload.serialization", fmt.Sprintf("%q is unknown to this version; use JSON or XML", p.Serialization))
	}
	own := v1alpha1.SitecorePayload{}
	if p.Sitecore != nil {
		own = *p.Sitecore
	}
	s.ItemName = cmp.Or(own.ItemName, o.Name)
	s.ItemID = uuid.NewSHA1(itemIDs, []byte(o.Namespace+"/"+o.Name)).String()
	if own.ItemID != "" {
		id, ok := sitecore.GUID(own.ItemID)
		if !ok {
			v.reject(v1alpha1.ReasonInvalidPayload, "spec.payload.sitecore.itemID", "it is not a GUID; write it like 95398c44-f232-41a8-b947-8aefec4ce6eb")
		}
		s.ItemID = id
	}
	return s
}

// warnAboutEvents warns about names that are nearly those of events of Sitecore:
// such a Webhook may wait for ever, and nobody sees why.
func (v *Verdict) warnAboutEvents(events []string) {
	for _, name := range events {
		if nearest, ok := sitecore.Nearest(name); ok {
			v.Warnings = append(v.Warnings, Fault{
				v1alpha1.ConditionEventsKnown, v1alpha1.ReasonUnknownEvent, "spec.events",
				fmt.Sprintf("%q is no event of Sitecore, but nearly %q; correct it, unless there is an event of your own of this name", name, nearest),
			})
		}
	}
}
