package receiver

import "encoding/xml"

// modelOf returns a new model of an event, nil for one that is unknown. What has no
// name is for a workflow action.
func modelOf(event string) any {
	switch event {
	case "item:added", "item:versionAdded", "item:cloneAdded", "item:locked", "item:unlocked", "item:versionRemoved", "item:deleting":
		return new(itemEvent)
	case "item:deleted":
		return new(itemDeleted)
	case "item:saved":
		return new(itemSaved)
	case "item:copied":
		return new(itemCopied)
	case "item:moved":
		return new(itemMoved)
	case "item:renamed":
		return new(itemRenamed)
	case "item:sortorderchanged":
		return new(itemSorted)
	case "item:templateChanged":
		return new(itemRetyped)
	case "publish:begin", "publish:end":
		return new(publishEvent)
	case "publish:statusUpdated":
		return new(publishProgress)
	case "publish:fail":
		return new(publishFailure)
	case "":
		return new(workflowAction)
	}
	return nil
}

// none takes the elements that a model does not have; JSON refuses such members itself.
type none struct {
	Strangers []stranger `form:"optional" json:"-" xml:",any"`
}

type stranger struct{ XMLName xml.Name }

// event is what all events have.
type event struct {
	EventName       *string
	WebhookItemID   *string `form:"guid" json:"WebhookItemId" xml:"WebhookItemId"`
	WebhookItemName *string
	none
}

type (
	itemEvent struct {
		event
		Item *item
	}
	itemDeleted struct {
		event
		Item     *item
		ParentID *string `form:"guid"`
	}
	itemSaved struct {
		event
		Item    *item
		Changes *itemChanges
	}
	itemCopied struct {
		event
		Source, Copy *item
	}
	itemMoved struct {
		event
		Item        *item
		OldParentID *string `form:"guid"`
	}
	itemRenamed struct {
		event
		Item    *item
		OldName *string
	}
	itemSorted struct {
		event
		Item     *item
		OldValue *string
	}
	itemRetyped struct {
		event
		Item            *item
		TemplateChanges *templateChanges
	}
	publishEvent struct {
		event
		PublisherOptions *publisherOptions
	}
	publishProgress struct {
		event
		Status *publishStatus
	}
	publishFailure struct {
		event
		PublisherOptions *publisherOptions
		Exception        *exception
	}
)

type item struct {
	Language          *string
	Version           *int32
	ID                *string `form:"guid" json:"Id" xml:"Id"`
	Name              *string
	ParentID          *string `form:"guid" json:"ParentId" xml:"ParentId"`
	TemplateID        *string `form:"guid" json:"TemplateId" xml:"TemplateId"`
	TemplateName      *string `form:"optional"`
	MasterID          *string `form:"guid" json:"MasterId" xml:"MasterId"`
	SharedFields      []sharedField
	UnversionedFields []unversionedField
	VersionedFields   []versionedField
	none
}

type sharedField struct {
	ID    *string `form:"guid" json:"Id" xml:"Id"`
	Value *string
	none
}

type unversionedField struct {
	ID       *string `form:"guid" json:"Id" xml:"Id"`
	Value    *string
	Language *string
	none
}

type versionedField struct {
	ID       *string `form:"guid" json:"Id" xml:"Id"`
	Value    *string
	Version  *int32
	Language *string
	none
}

type itemChanges struct {
	FieldChanges              []fieldChange
	PropertyChanges           []propertyChange
	IsUnversionedFieldChanged *bool
	IsSharedFieldChanged      *bool
	none
}

type fieldChange struct {
	FieldID       *string `form:"guid" json:"FieldId" xml:"FieldId"`
	Value         *string
	OriginalValue *string `form:"optional"`
	none
}

type propertyChange struct {
	PropertyName  *string
	Value         *string `form:"optional"`
	OriginalValue *string `form:"optional"`
	none
}

type templateChanges struct {
	Changes           []templateChange
	PreferredLanguage *struct {
		Name *string
		none
	}
	PreferredVersion *struct {
		Number *int32
		none
	}
	Source, Target *template
	none
}

type templateChange struct {
	Action      *int32
	SourceField *templateField
	TargetField []templateField
	none
}

type template struct {
	BaseIDs               []string `form:"braced"`
	CustomValues          []string
	FullName              *string
	Icon                  *string
	ID                    *string `form:"braced"`
	Name                  *string
	StandardValueHolderID []string `form:"braced" json:"StandardValueHolderId" xml:"StandardValueHolderId"`
	none
}

type templateField struct {
	DefaultValue                    *string `form:"optional"`
	HelpLink, Icon                  *string
	ID                              *string `form:"braced"`
	IsEmpty                         *bool
	IsSharedLanguageFallbackEnabled *bool
	IsShared                        *bool
	IsUnversioned                   *bool
	IsVersioned                     *bool
	Key                             *string
	IsBlob                          *bool
	Name                            *string
	ResetBlank                      *bool
	Sortorder                       *int32
	Source, Style                   *string
	Template                        *template
	Type, TypeKey                   *string
	Validation                      *string
	ExcludeFromTextSearch           *bool
	IgnoreDictionaryTranslations    *bool
	none
}

type publisherOptions struct {
	CompareRevisions   *bool
	Deep               *bool
	FromDate           *string `form:"time"`
	Mode               *string
	PublishDate        *string  `form:"time"`
	PublishingTargets  []string `form:"braced"`
	RepublishAll       *bool
	RecoveryID         *string `form:"guid" json:"RecoveryId" xml:"RecoveryId"`
	SourceDatabaseName *string
	TargetDatabaseName *string
	RootItemID         *string `form:"guid" json:"RootItemId" xml:"RootItemId"`
	UserName           *string
	WillBeQueued       *bool
	Languages          []string
	none
}

type publishStatus struct {
	CurrentLanguageName *string
	CurrentTargetName   *string
	Expired             *bool
	Failed              *bool
	IsDone              *bool
	Messages            []string
	Processed           *int32
	State               *int32
	none
}

// exception is not documented: this is how .NET serializes one.
type exception struct {
	ClassName        *string
	Message          *string
	Data             *string `form:"optional"`
	InnerException   *string `form:"optional"`
	HelpURL          *string `form:"optional"`
	StackTraceString *string
	HResult          *int32
	Source           *string
	none
}

type workflowAction struct {
	ActionID        *string `form:"guid"`
	ActionName      *string
	Comments        []comment
	DataItem        *item
	Message         *string
	NextState       *workflowState `form:"optional"`
	PreviousState   *workflowState
	UserName        *string
	WorkflowName    *string
	WebhookItemID   *string `form:"guid" json:"WebhookItemId" xml:"WebhookItemId"`
	WebhookItemName *string
	none
}

type comment struct {
	Key, Value *string
	none
}

type workflowState struct {
	DisplayName              *string
	FinalState               *bool
	Icon                     *string
	StateID                  *string `form:"braced"`
	PreviewPublishingTargets []string
	none
}
