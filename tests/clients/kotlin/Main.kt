import java.util.UUID
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.openapitools.client.apis.AccountsApi
import org.openapitools.client.apis.RecordingsApi
import org.openapitools.client.apis.UploadsApi
import org.openapitools.client.infrastructure.ApiClient
import org.openapitools.client.infrastructure.ClientException
import org.openapitools.client.models.NewRecording
import org.openapitools.client.models.Recording
import org.openapitools.client.models.SignUp
import org.openapitools.client.models.Upload

// No content type of OkHttp's own: it would not be the one that was signed.
val http = OkHttpClient()
val base: String = System.getenv("RECORDER_URL")

fun main() {
    val address = "${UUID.randomUUID()}@example.com"
    val signedUp = AccountsApi(base).signUp(SignUp(email = address, password = "battery staple, correctly"))
    ApiClient.accessToken = signedUp.accessToken
    thereAndBack(NewRecording.UploadMethod.put, 1000)
    thereAndBack(NewRecording.UploadMethod.multipart, 9 * 1024 * 1024)
}

fun thereAndBack(method: NewRecording.UploadMethod, size: Int) {
    val uploads = UploadsApi(base)
    val recordings = RecordingsApi(base)
    val data = ByteArray(size) { (it * 31L % 251).toByte() }
    val begun = uploads.beginUpload(
        NewRecording(
            fileName = "${method.value}.m4a",
            contentType = "audio/mp4",
            propertySize = size.toLong(),
            uploadMethod = method,
        )
    )
    send(begun.upload!!, data)
    val id = begun.recording.id
    check(uploads.completeUpload(id).status == Recording.Status.ready)
    check(recordings.listRecordings(limit = 10).recordings.any { it.id == id })
    val audio = recordings.getRecording(id).audio!!
    val played = http.newCall(Request.Builder().url(audio.url).build()).execute().use { it.body.bytes() }
    check(played.contentEquals(data))
    recordings.deleteRecording(id, permanent = true)
    check(runCatching { recordings.getRecording(id) }.exceptionOrNull() is ClientException)
}

fun send(upload: Upload, data: ByteArray) = when (upload) {
    is Upload.PutWrapper -> put(upload.value.url, data, upload.value.headers)
    is Upload.MultipartWrapper -> upload.value.parts.forEach {
        val start = (it.number - 1) * upload.value.partSize
        put(it.url, data.copyOfRange(start.toInt(), (start + it.propertySize).toInt()))
    }
    is Upload.PostWrapper, is Upload.LiveWrapper -> error("Not what was asked for")
}

fun put(url: String, body: ByteArray, headers: Map<String, String> = emptyMap()) {
    val request = Request.Builder().url(url).put(body.toRequestBody())
    headers.forEach { (name, value) -> request.header(name, value) }
    http.newCall(request.build()).execute().use { check(it.isSuccessful) { "S3 answers ${it.code}" } }
}
