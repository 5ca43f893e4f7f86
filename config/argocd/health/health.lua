-- Whether what is declared is in force. Degraded is what only an edit of the object
-- mends; what may come by itself, such as a Secret of a later wave, is Progressing.
-- A receiver that fails, and a Webhook that is disabled, are no failed deployment, and
-- Argo CD ends no wave while something is Suspended: they are Healthy, with a message.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function told(health, condition)
  return { status = health, message = condition.reason .. ": " .. condition.message }
end

local ready = conditions.Ready
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the controller" }
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return told("Degraded", conditions.Stalled)
end
if ready.status ~= "True" then
  return told("Progressing", ready)
end
if status.stateReason == "SpecDisabled" then
  return { status = "Healthy", message = "SpecDisabled: spec.disabled is true; nothing new is sent" }
end
if conditions.Delivering ~= nil and conditions.Delivering.status == "False" then
  return told("Healthy", conditions.Delivering)
end
return { status = "Healthy", message = ready.message }
