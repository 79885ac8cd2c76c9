-- For wrk: sends the requests of a file, all of one length, one after another, and starts again at its end.
-- wrk -s requests.lua URL -- FILE LENGTH FIRST

local file, length

function init(args)
  file = assert(io.open(args[1], "rb"))
  length = tonumber(args[2])
  file:seek("set", tonumber(args[3]) * length)
end

function request()
  local text = file:read(length)
  if not text then
    file:seek("set")
    text = file:read(length)
  end
  return text
end
